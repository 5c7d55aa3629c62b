"""Measure what the gate adds to a span that ends: ratios, so that a busy machine changes little.

    python tests/benchmarks/bench_gate.py

Each line compares ending a span behind the gate with ending it without, where
nothing is exported: the worst case for the ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from etl_telemetry.redaction import Policy
from etl_telemetry.runtime.gate import Gate

ROUNDS, SPANS = 21, 2_000
STATEMENT = "SELECT id, name FROM flights WHERE origin = 'JFK' AND carrier IN ('AA', 'UA')"
KINDS: dict[str, dict[str, object]] = {
    "harmless (7 attributes)": {f"step.fact_{n}": "value" for n in range(7)},
    "SQL, seen before": {"db.system": "postgresql", "db.name": "x", "db.statement": STATEMENT},
    "HTTP, seen before": {"http.method": "GET", "http.url": "http://a.example/b?c=d"},
}


class _Nothing(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        """Drop it."""


def tracer_with(processor: SpanProcessor) -> Callable[[dict[str, object]], float]:
    """Return a function that measures seconds for `SPANS` spans behind `processor`."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("bench")

    def measure(attributes: dict[str, object]) -> float:
        begin = time.perf_counter()
        for _ in range(SPANS):
            tracer.start_span("x", attributes=attributes).end()  # type: ignore[arg-type]
        return time.perf_counter() - begin

    return measure


def main() -> None:
    """Print one line for each kind of span."""
    without = tracer_with(_Nothing())
    behind = tracer_with(Gate(_Nothing(), policy=Policy()))
    for kind, attributes in KINDS.items():
        pairs = [(without(attributes), behind(attributes)) for _ in range(ROUNDS)]
        bare, gated = (statistics.median(times) for times in zip(*pairs, strict=True))
        added = (gated - bare) / SPANS * 1e6
        print(f"{kind:28} ratio {gated / bare:.2f}  (+{added:.1f} us a span)")


if __name__ == "__main__":
    main()
