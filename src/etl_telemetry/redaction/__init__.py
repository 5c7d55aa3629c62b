"""What may leave the process: pure functions that take data out of text, and the allow-list.

All of them accept anything, never raise, run in linear time and return bounded
text. They hide too much rather than too little.
"""

from etl_telemetry.redaction.addresses import query, url, urls
from etl_telemetry.redaction.attributes import Rule, Where, rule, span_name, system
from etl_telemetry.redaction.exceptions import exception_text
from etl_telemetry.redaction.policy import MASK, NOTHING_ALLOWED, Policy
from etl_telemetry.redaction.secrets import is_secret, mapping
from etl_telemetry.redaction.statements import redis, sql

__all__ = [
    "MASK",
    "NOTHING_ALLOWED",
    "Policy",
    "Rule",
    "Where",
    "exception_text",
    "is_secret",
    "mapping",
    "query",
    "redis",
    "rule",
    "span_name",
    "sql",
    "system",
    "url",
    "urls",
]
