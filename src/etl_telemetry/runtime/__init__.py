"""The only room that touches the OpenTelemetry SDK.

Providers that delegate to the SDK objects of the current process, their
lifecycle over forks, and the way out: batches, exporters, deadlines.
"""
