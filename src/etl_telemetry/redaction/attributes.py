"""Which attributes of spans hold data, and what remains of each.

The keys are those that the named instrumentors write, old and new semantic
conventions, and those of others that are known to hold data. Read in: dbapi,
psycopg2, redis, requests, django, wsgi, celery 0.66b1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from etl_telemetry.redaction.addresses import query, url
from etl_telemetry.redaction.exceptions import exception_text
from etl_telemetry.redaction.policy import MASK, Policy
from etl_telemetry.redaction.secrets import is_secret
from etl_telemetry.redaction.statements import redis, sql

STACKTRACE_LIMIT = 16_384
"""Characters of a stack trace."""

# Systems whose double quotes hold names. In any other (MySQL, MongoDB) they may hold values.
_QUOTED_NAMES = frozenset(
    ("postgresql", "sqlite", "oracle", "oracle.db", "mssql", "microsoft.sql_server", "db2",
     "ibm.db2", "cockroachdb", "redshift", "aws.redshift", "other_sql", "trino", "snowflake")
)  # fmt: skip
_REDIS = frozenset(("redis", "valkey", "memcached"))
_REDIS_NAMES = frozenset(("redis.search", "redis.create_index"))
_MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Where:
    """What a rule may need to know beside the value."""

    policy: Policy
    """The allow-list."""
    system: str | None
    """`db.system.name` (or `db.system`) of the span; None where it has none."""


Rule = Callable[[object, Where], object]
"""Return what remains of a value; None takes the attribute away."""


def statement(value: object, where: Where) -> object:
    """Redact a database statement by the language of its system."""
    if not isinstance(value, (str, bytes)):
        return "?"
    if where.system in _REDIS:
        return redis(value)
    return sql(value, quoted_names=where.system is None or where.system in _QUOTED_NAMES)


def _url(value: object, where: Where) -> object:
    return url(value, policy=where.policy) if isinstance(value, (str, bytes)) else MASK


def _query(value: object, where: Where) -> object:
    return query(value, policy=where.policy) if isinstance(value, (str, bytes)) else MASK


def _urls(value: object, where: Where) -> object:
    """Redact the URL in a header, whose value the instrumentors give as a list."""
    if isinstance(value, (list, tuple)):
        return [_url(item, where) for item in value]
    return _url(value, where)


def _text(value: object, where: Where) -> object:
    if not isinstance(value, (str, bytes)):
        return MASK
    return exception_text(value, policy=where.policy)


def _stack_trace(value: object, where: Where) -> object:
    if not isinstance(value, (str, bytes)):
        return MASK
    return exception_text(value, limit=STACKTRACE_LIMIT, policy=where.policy)


def _masked(value: object, _where: Where) -> object:
    """Hide the value; a flag that says whether there is one may stay."""
    if isinstance(value, bool):
        return value
    return [MASK] if isinstance(value, (list, tuple)) else MASK


def _removed(_value: object, _where: Where) -> object:
    return None


_RULES: Mapping[str, Rule] = {
    "db.query.text": statement,
    "db.statement": statement,
    "db.query.summary": statement,
    "db.operation": statement,
    "db.operation.name": statement,
    "db.statement.parameters": _removed,
    "db.connection_string": _text,
    "redis.search.query": _masked,
    "url.full": _url,
    "url.original": _url,
    "http.url": _url,
    "http.target": _url,
    "url.query": _query,
    "url.fragment": _removed,
    "messaging.url": _url,
    "exception.message": _text,
    "exception.stacktrace": _stack_trace,
    "celery.retry.reason": _text,
    "celery.revoked.reason": _text,
    "celery.args": _removed,
    "celery.kwargs": _removed,
    "celery.argsrepr": _removed,
    "celery.kwargsrepr": _removed,
    "celery.task.args": _removed,
    "celery.task.kwargs": _removed,
    "celery.body": _removed,
    "celery.result": _removed,
    "celery.retval": _removed,
    "messaging.message.body": _removed,
    "messaging.message.payload": _removed,
    "http.request.body": _removed,
    "http.response.body": _removed,
}
_PREFIXES: tuple[tuple[str, Rule], ...] = (
    ("db.query.parameter.", _removed),
    ("db.statement.parameters.", _removed),
    # `redis.search.xdoc_<document>.<field>`: the documents that were found (trap 23).
    ("redis.search.xdoc_", _removed),
    ("url.query.", _removed),
    ("http.request.body.", _removed),
)
_HEADERS = ("http.request.header.", "http.response.header.")
_URL_HEADERS = frozenset(("referer", "referrer", "location", "content_location", "link", "refresh"))
# Numbers about data rather than data; the suffix keeps them out of the prefixes above.
_SIZES = (".size", ".length", ".count")


def rule(key: str, policy: Policy) -> Rule | None:
    """Return the rule for the attribute `key`; None where it holds no data or is allowed.

    >>> rule("db.system.name", Policy()) is None, rule("url.full", Policy()) is None
    (True, False)
    """
    if policy.allows(key):
        return None
    exact = _RULES.get(key)
    if exact is not None:
        return exact
    if key.startswith(_HEADERS):
        name = key.rpartition(".")[2].replace("-", "_")
        if name in _URL_HEADERS:
            return _urls
    elif not key.endswith(_SIZES):
        for prefix, removed in _PREFIXES:
            if key.startswith(prefix):
                return removed
    return _masked if is_secret(key, policy=policy) else None


def system(attributes: Mapping[str, object]) -> str | None:
    """Return the database system that a span names; None where it names none."""
    for key in ("db.system.name", "db.system"):
        found = attributes.get(key)
        if isinstance(found, str):
            return found
    return None


def span_name(name: str, cleaned: Mapping[str, object], where: Where) -> str:
    """Return a span's name; that of a database span is a part of its statement, so it is redacted.

    `cleaned` are the span's attributes after their rules.

    >>> span_name("SELECT'Ann'", {}, Where(policy=Policy(), system="sqlite"))
    'SELECT?'
    """
    if where.system is None or name.isalpha():
        return name
    if where.system in _REDIS:
        return name if name in _REDIS_NAMES else _commands(cleaned) or where.system
    if name in (cleaned.get("db.namespace"), cleaned.get("db.name")):
        return name
    words = str(statement(name, where)).split()
    return words[0] if words else where.system


def _commands(cleaned: Mapping[str, object]) -> str:
    """Return the words of Redis commands that are no arguments."""
    text = cleaned.get("db.query.text", cleaned.get("db.statement"))
    words = redis(text).split() if isinstance(text, str) else []
    return " ".join(word for word in words if word != "?")[:_MAX_NAME]
