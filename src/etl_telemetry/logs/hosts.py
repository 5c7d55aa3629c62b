"""What the log records of Django and Celery carry that must not leave the process.

Both put whole requests, task arguments, results and SQL parameters into `extra`
and into the arguments of their messages (trap 20). Nothing here imports them:
their records are known by the logger's name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from functools import lru_cache

from etl_telemetry import guard, redaction
from etl_telemetry.logs.plain import is_request

Fields = MutableMapping[str, object]
HIDDEN = "<not recorded>"
TASK_ARGUMENTS = "task.arguments"
"""Name in the allow-list that lets task arguments and results pass."""

_TASK_FACTS = ("id", "name", "hostname", "runtime", "eta", "description", "internal")


def clean(record: logging.LogRecord, fields: Fields, *, policy: redaction.Policy) -> str | None:
    """Take from `fields` what must not leave; return another message where the own one tells it."""
    if "request" in fields and is_request(request := fields["request"]):
        del fields["request"]
        fields.setdefault("http.request.method", guard.attempt(lambda: str(request.method), None))  # type: ignore[attr-defined]
        fields.setdefault("url.path", guard.attempt(lambda: str(request.path), None))  # type: ignore[attr-defined]
    found = _rule(record.name)
    return None if found is None else found[0](record, fields, found[1], policy)


def _django(
    _record: logging.LogRecord, fields: Fields, below: str, policy: redaction.Policy
) -> str | None:
    if below == "server":
        fields.pop("request", None)  # The socket, which prints the client's address.
    if not below.startswith("db.backends") or "sql" not in fields:
        return None
    if policy.allows("db.query.text"):
        return None
    fields.pop("params", None)
    statement = fields["sql"]
    safe = redaction.sql(statement) if isinstance(statement, (str, bytes)) else HIDDEN
    fields["sql"] = safe
    duration, alias = fields.get("duration"), fields.get("alias")
    if isinstance(duration, float) and isinstance(alias, str):
        return f"({duration:.3f}) {safe}; alias={alias}"
    return safe


def _celery(
    record: logging.LogRecord, fields: Fields, below: str, policy: redaction.Policy
) -> str | None:
    if policy.allows(TASK_ARGUMENTS):
        return None
    data = fields.get("data")
    if isinstance(data, Mapping):
        fields["data"] = {name: data[name] for name in _TASK_FACTS if name in data}
    template, args = record.msg, record.args
    if not isinstance(template, str) or not args:
        return None
    if isinstance(args, Mapping):
        return guard.attempt(lambda: template % _safe_task(args), template)
    if below.startswith("concurrency") and template.startswith("TaskPool: Apply"):
        return f"TaskPool: Apply {args[0]}"
    if below.startswith("worker") and "body" in template:
        kept = tuple(arg if isinstance(arg, BaseException) else HIDDEN for arg in args)
        return guard.attempt(lambda: template % kept, template)
    return None


def _safe_task(facts: Mapping[str, object]) -> dict[str, object]:
    """Keep what a task's own messages need; hide results, redact the error."""
    safe = {key: value if key in _TASK_FACTS else HIDDEN for key, value in facts.items()}
    if isinstance(facts.get("exc"), (str, BaseException)):
        safe["exc"] = redaction.exception_text(str(facts["exc"]))
    return safe


Rule = Callable[[logging.LogRecord, Fields, str, redaction.Policy], str | None]
_RULES: Mapping[str, Rule] = {"django": _django, "celery": _celery}


@lru_cache(maxsize=1_024)
def _rule(name: str) -> tuple[Rule, str] | None:
    """Return the rule for a logger's name, and what of the name stands below the framework's."""
    top, _, below = str(name).partition(".")
    rule = _RULES.get(top)
    return None if rule is None else (rule, below)
