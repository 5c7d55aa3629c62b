"""Template tags: `{% load etl_telemetry %}`."""
