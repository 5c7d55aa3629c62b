"""Add up what arrived over OTLP: the figures of the report, for people and as JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from demo.facts import ROW_KINDS, Counts, Difference, Facts, root_spans
from etl_telemetry.viewer.query import Query

Nested = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that the report shows but the example trace."""

    facts: Facts
    """The counts that arrived."""
    durations: Mapping[str, Sequence[float]]
    """Seconds that the runs of each pipeline took, shortest first."""
    differences: Sequence[Difference]
    """Where the ledger says otherwise."""

    @property
    def pipelines(self) -> list[str]:
        """Names of all pipelines that had a run."""
        return sorted({key[0] for key in self.facts.runs} | set(self.durations))

    def success_rate(self, pipeline: str | None = None) -> float | None:
        """Return the share of runs that ended in success, of one pipeline or of all."""
        runs = {key: n for key, n in self.facts.runs.items() if pipeline in (None, key[0])}
        good = sum(n for (_, status), n in runs.items() if status == "success")
        return good / sum(runs.values()) if runs else None

    def rows(self, pipeline: str | None = None) -> dict[str, int]:
        """Return the rows by kind, of one pipeline or of all, over all steps."""
        counts: Counter[str] = Counter()
        for (name, _, kind), number in self.facts.rows.items():
            if pipeline in (None, name):
                counts[kind] += number
        return {kind: counts[kind] for kind in ROW_KINDS}

    def rows_by_step(self) -> dict[str, dict[str, int]]:
        """Return the rows of each step over all pipelines, by kind."""
        steps: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (_, step, kind), number in self.facts.rows.items():
            steps[step][kind] += number
        return {
            step: {kind: counts[kind] for kind in ROW_KINDS}
            for step, counts in sorted(steps.items())
        }

    def _rows_of_every_kind(self) -> Counts:
        steps = {key[:2] for key in self.facts.rows}
        return {
            (*step, kind): self.facts.rows.get((*step, kind), 0)
            for step in steps
            for kind in ROW_KINDS
        }

    def as_json(self) -> Nested:
        """Return the report as JSON: runs, tasks, rows, reconciliation, and what goes with them."""
        rate = self.success_rate()
        return {
            "runs": _nest(self.facts.runs),
            "tasks": _nest(self.facts.tasks),
            "rows": _nest(self._rows_of_every_kind()),
            "reconciliation": {
                "equal": not self.differences,
                "differences": [asdict(each) for each in self.differences],
            },
            "success_rate": None if rate is None else round(rate, 4),
            "durations": {
                name: {"p50": percentile(values, 50), "p95": percentile(values, 95)}
                for name, values in sorted(self.durations.items())
            },
            "totals": {
                "runs": sum(self.facts.runs.values()),
                "tasks": sum(self.facts.tasks.values()),
                "rows": self.rows(),
                "rows_by_step": self.rows_by_step(),
            },
        }


def summarize(query: Query, *, facts: Facts, differences: Iterable[Difference]) -> Summary:
    """Read durations from the root spans and put everything together."""
    durations: defaultdict[str, list[float]] = defaultdict(list)
    for span in root_spans(query):
        seconds = (span.end_ns - span.start_ns) / 1e9
        durations[str(span.attributes["pipeline.name"])].append(seconds)
    by_pipeline = {name: sorted(values) for name, values in durations.items()}
    return Summary(facts=facts, durations=by_pipeline, differences=list(differences))


def percentile(values: Sequence[float], share: int) -> float | None:
    """Return the nearest-rank percentile of sorted values, rounded to milliseconds.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50), percentile([7.0], 95), percentile([], 50)
    (2.0, 7.0, None)
    """
    return round(values[ceil(len(values) * share / 100) - 1], 3) if values else None


def _nest(counts: Counts) -> Nested:
    nested: Nested = {}
    for (*path, last), number in sorted(counts.items()):
        inner = nested
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = number
    return nested
