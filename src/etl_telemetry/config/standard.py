"""Standard variables that the SDK and the exporters read themselves: checked, not parsed.

The specification: a wrong value is warned about and ignored. The SDK raises for
some of them, long after start-up and where nobody can see it; so whoever builds it
takes the refused ones out of the environment first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from etl_telemetry.config import several
from etl_telemetry.config.kinds import (
    MILLISECONDS,
    STANDARD_BOOLEAN,
    Kind,
    WrongValue,
    choice,
    number,
    whole,
)
from etl_telemetry.config.sources import Findings, Given, Rank

_SIGNALS = ("", "TRACES_", "METRICS_", "LOGS_")
_LIMITS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)  # fmt: skip
# Parsed here, and once more by the SDK.
_READ_TWICE = ("OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS")
_HEADERS = re.compile(r"OTEL_EXPORTER_OTLP_\w+_HEADERS", re.ASCII)


def _limit(value: object) -> object:
    unlimited = isinstance(value, str) and value.strip().lower() == "unset"
    return None if unlimited else whole(at_least=0).parse(value)


def _exact(*known: str) -> Kind:
    """Return the kind of one word, which the SDK reads with regard to its case."""

    def parse(value: object) -> object:
        if value not in known:
            raise WrongValue
        return value

    return Kind(f"one of {', '.join(known)}", parse)


_SECONDS = number("seconds", above=0)
_COMPRESSION = choice("gzip", "deflate", "none")
CHECKED: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys(_LIMITS, Kind("a whole number of at least 0", _limit)),
        **{f"OTEL_EXPORTER_OTLP_{s}TIMEOUT": _SECONDS for s in _SIGNALS},
        **{
            f"OTEL_EXPORTER_OTLP_{s}COMPRESSION": choice("gzip", "deflate", "none")
            for s in _SIGNALS
        },
        **{f"OTEL_EXPORTER_OTLP_{s}INSECURE": STANDARD_BOOLEAN for s in _SIGNALS},
        **{f"OTEL_EXPORTER_OTLP_{s}HEADERS": several.HEADERS for s in _SIGNALS if s},
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": choice(
            "cumulative", "delta", "lowmemory"
        ),
        "OTEL_METRICS_EXEMPLAR_FILTER": _exact("trace_based", "always_on", "always_off"),
        "OTEL_METRIC_EXPORT_TIMEOUT": MILLISECONDS,
        "OTEL_BSP_EXPORT_TIMEOUT": MILLISECONDS,
        "OTEL_BLRP_EXPORT_TIMEOUT": MILLISECONDS,
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": STANDARD_BOOLEAN,
    }
)
"""Variable -> what is allowed in it."""


def check(environ: Mapping[str, str], findings: Findings) -> None:
    """Note wrong values.

    >>> findings = Findings()
    >>> check({"OTEL_SPAN_EVENT_COUNT_LIMIT": "many"}, findings)
    >>> list(findings.ignored)
    ['OTEL_SPAN_EVENT_COUNT_LIMIT']
    """
    for name, kind in CHECKED.items():
        if environ.get(name, "").strip():
            given = Given(environ[name], name, "the environment", Rank.STANDARD, lenient=True)
            try:
                kind.parse(given.value)
            except WrongValue as wrong:
                secret = _HEADERS.fullmatch(name) is not None
                findings.wrong(given, kind.allowed, wrong, secret=secret)


def refused(findings: Findings) -> tuple[str, ...]:
    """Return the variables with wrong values that are read by others than us."""
    return tuple(name for name in findings.ignored if name in CHECKED or name in _READ_TWICE)
