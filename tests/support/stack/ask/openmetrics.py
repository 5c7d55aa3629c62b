"""A page of metrics, as Prometheus scrapes it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from support.stack.ask import http
from support.stack.ask.samples import Sample, by


class OpenMetrics:
    """The metrics that a process shows of itself."""

    def __init__(self, url: str) -> None:
        self.url = url

    def samples(self) -> dict[str, list[Sample]]:
        """Return all samples by name; `otelcol_` ones without the suffix `_total`."""
        found: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(http.text(self.url)):
            for sample in family.samples:
                name = sample.name.removesuffix("_total")
                found.setdefault(name, []).append(Sample(dict(sample.labels), sample.value))
        return found

    def values(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the values of one metric by these labels; nothing when it is not there."""
        return by(self.samples().get(name, ()), *labels)
