"""What a user can set, from where it comes, and what is allowed: one declarative table.

`Config` is the table: each field has its default, its kind, its variables and, under
it, its meaning. The reference documentation is written from `FIELDS`.

>>> resolve({"deadline": 1}, {"OTEL_SERVICE_NAME": "shop"}, {"MAX_PIPELINES": 100})
Config(service_name='shop', deadline=1.0, max_pipelines=100)
"""

from etl_telemetry.config.resolution import resolve
from etl_telemetry.config.table import FIELDS, Config, Field, Variable

__all__ = ["FIELDS", "Config", "Field", "Variable", "resolve"]
