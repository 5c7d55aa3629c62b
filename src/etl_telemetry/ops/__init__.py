"""What operations people look at and are woken by: files generated for the backends.

`etl-telemetry generate` writes them; those of this repository are in `collector/`.
"""
