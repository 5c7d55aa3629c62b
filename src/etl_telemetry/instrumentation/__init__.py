"""Which libraries are instrumented, and our fixes around OpenTelemetry's instrumentors."""
