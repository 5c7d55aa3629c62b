"""The query API of Prometheus, which VictoriaMetrics has too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from support.stack.ask import http
from support.stack.ask.samples import Sample, by


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An exemplar, with the series that it belongs to."""

    series: dict[str, str]
    """Labels of the series, its name as `__name__`."""
    labels: dict[str, str]
    """Its own: `trace_id`, `span_id`."""
    value: float
    """What was measured."""
    time: float
    """When, in Unix seconds."""


class PrometheusApi:
    """Queries.

    A value that nobody sends any more is found for five minutes, and later only by asking for
    a time at which it was there: `at`.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str, *, at: float | None = None) -> list[Sample]:
        """Evaluate at one time: now, or `at` (Unix seconds)."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        return [
            Sample(_labels(each["metric"]), float(each["value"][1]))
            for each in self._get("query", query=expression, **when)["result"]
        ]

    def values(
        self, expression: str, *labels: str, at: float | None = None
    ) -> dict[tuple[str, ...], float]:
        """Evaluate at one time; return values by these labels, which must tell them apart."""
        return by(self.query(expression, at=at), *labels)

    def raw(self, selector: str, *, seconds: float, at: float) -> list[tuple[float, float]]:
        """Return the samples of one series as they were written: Unix time and value.

        Raises:
            ValueError: It is not one series.
        """
        expression = f"{selector}[{round(seconds * 1000)}ms]"
        found = self._get("query", query=expression, time=f"{at:.3f}")["result"]
        if len(found) != 1:
            raise ValueError(f"{expression} is {len(found)} series")
        return [(float(t), float(v)) for t, v in found[0]["values"]]

    def range(
        self, expression: str, *, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Evaluate over time: for each series its labels, and its values by Unix time."""
        found = self._get("query_range", query=expression, start=start, end=end, step=step)
        return [
            (_labels(each["metric"]), [(float(t), float(v)) for t, v in each["values"]])
            for each in found["result"]
        ]

    def exemplars(self, expression: str, *, start: float, end: float) -> list[Exemplar]:
        """Return the exemplars of these series."""
        found = self._get("query_exemplars", query=expression, start=start, end=end)
        return [
            Exemplar(
                each["seriesLabels"],
                exemplar["labels"],
                float(exemplar["value"]),
                exemplar["timestamp"],
            )
            for each in found
            for exemplar in each["exemplars"]
        ]

    def names(self, selector: str = '{__name__=~".+"}') -> set[str]:
        """Return the names of all metrics that it has, or of those that a selector matches."""
        return set(self._get("label/__name__/values", **{"match[]": selector}))

    def _get(self, path: str, **parameters: Any) -> Any:
        return http.get(f"{self.url}/api/v1/{path}", **parameters)["data"]


def _labels(metric: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in metric.items() if name != "__name__"}
