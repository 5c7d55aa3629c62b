"""Variables that nothing reads any more, with what replaces them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_JAEGER = (
    "Jaeger receives OTLP: set OTEL_EXPORTER_OTLP_ENDPOINT to the Collector, "
    "and Jaeger in the Collector's configuration"
)
_ELASTICSEARCH = (
    "log records go to the Collector (OTEL_EXPORTER_OTLP_ENDPOINT): "
    "set Elasticsearch in the Collector's configuration"
)
_REPLACEMENTS = (
    ("JAEGER_", _JAEGER),
    ("OTEL_EXPORTER_JAEGER_", _JAEGER),
    ("ELASTICSEARCH_", _ELASTICSEARCH),
    ("OTEL_CONFIG_FILE", "a configuration file is not supported: set the single variables"),
)
"""Name, or beginning of names -> what replaces it."""


def warnings(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield one warning for each kind of variables that are set.

    >>> list(warnings({"JAEGER_AGENT_PORT": "6831", "JAEGER_AGENT_HOST": "jaeger"}))[0][:52]
    'JAEGER_AGENT_HOST, JAEGER_AGENT_PORT are not read: J'
    """
    for beginning, replacement in _REPLACEMENTS:
        found = sorted(name for name in environ if name.startswith(beginning) and environ[name])
        if found:
            verb = "is" if len(found) == 1 else "are"
            yield f"{', '.join(found)} {verb} not read: {replacement}"
