"""Django: the application that sets telemetry up, and what it needs to know of Django.

Add `"etl_telemetry.django"` to `INSTALLED_APPS`. Nothing else has to be done.
"""
