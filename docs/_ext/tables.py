"""Write tables from the code and from measurements: `{catalogue} metrics`, `{configuration}`.

Nothing is typed twice: what the package declares is what the page shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from etl_telemetry import catalogue
from etl_telemetry.config import FIELDS


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a Markdown table."""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + " --- |" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def code(names: Iterable[object]) -> str:
    """Write names as code."""
    return " ".join(f"`{name}`" for name in names) or "(none)"


def metrics() -> Iterator[str]:
    """Describe each metric in a section of its own, so that it can be linked."""
    for metric in catalogue.METRICS.values():
        yield f"### `{metric.name}`"
        yield ""
        yield metric.description
        yield ""
        facts = [
            ("Kind", metric.kind),
            ("Unit", f"`{metric.unit}`" if metric.unit else "(none)"),
            ("Attributes", code(metric.attributes)),
            ("In Prometheus", f"`{metric.prometheus}`"),
            ("Stability", metric.stability),
        ]
        if metric.buckets:
            facts.append(("Buckets", ", ".join(f"{bound:g}" for bound in metric.buckets)))
        yield from (f"- {name}: {value}" for name, value in facts)
        yield ""


def bounds() -> Iterator[str]:
    """List how many values each label may have."""
    rows = ((f"`{key}`", f"{bound:,}") for key, bound in catalogue.BOUNDS.items())
    return table(("Label", "Values before `other`"), rows)


def spans() -> Iterator[str]:
    """List the spans."""
    rows = ((f"`{s.name}`", s.kind, s.description, code(s.attributes)) for s in catalogue.SPANS)
    return table(("Name", "Kind", "What it is", "Attributes"), rows)


def log_fields() -> Iterator[str]:
    """List the fields of each JSON record."""
    yield code(catalogue.LOG_FIELDS)


def log_events() -> Iterator[str]:
    """List the records that the library writes itself."""
    events = catalogue.LOG_EVENTS.values()
    rows = ((f"`{e.name}`", e.level, e.description, code(e.fields)) for e in events)
    return table(("Message", "Level", "When", "Fields"), rows)


def audit_events() -> Iterator[str]:
    """List the audit events that have a name of their own."""
    rows = ((f"`{name}`", text) for name, text in catalogue.AUDIT_EVENTS.items())
    return table(("Event", "When"), rows)


def statuses() -> Iterator[str]:
    """List the values of `status`."""
    kinds = (
        catalogue.RunStatus, catalogue.TaskStatus, catalogue.ConnectorStatus,
        catalogue.QueuePhase, catalogue.CanvasKind, catalogue.LinkReason,
    )  # fmt: skip
    rows = ((kind.__doc__ or kind.__name__, code(kind)) for kind in kinds)
    return table(("Of", "Values"), rows)


def drop_reasons() -> Iterator[str]:
    """List why a value can be dropped."""
    yield code(catalogue.DropReason)


SECTIONS: dict[str, Callable[[], Iterator[str]]] = {
    "metrics": metrics,
    "bounds": bounds,
    "spans": spans,
    "log-fields": log_fields,
    "log-events": log_events,
    "audit-events": audit_events,
    "statuses": statuses,
    "drop-reasons": drop_reasons,
}


def shown(value: object) -> str:
    """Write a default value as one would type it."""
    if value is None or value in ((), {}):
        return "(none)"
    return f"`{dict(value) if isinstance(value, Mapping) else value!r}`"


def configuration() -> Iterator[str]:
    """Describe each field in a section of its own."""
    for field in FIELDS:
        default = shown(field.default)
        yield f"### `{field.name}`"
        yield ""
        yield " ".join(field.doc.split())
        yield ""
        yield f"- Default: {default}" + (
            f", or the value of `{field.inherits}`" if field.inherits else ""
        )
        yield f"- Allowed: {field.allowed}"
        yield f"- Variables: {code(field.env)}"
        yield f"- Key of the Django setting: `{field.setting}`"
        yield ""


class Generated(SphinxDirective):
    """Parse generated Markdown in the page's place."""

    def markdown(self) -> Iterator[str]:
        """Return the lines to parse."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return what the lines mean."""
        return self.parse_text_to_nodes("\n".join(self.markdown()), allow_section_headings=True)


class Catalogue(Generated):
    """`{catalogue} <section>`: a part of the catalogue."""

    required_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Return the section that the page asks for."""
        return SECTIONS[self.arguments[0]]()


def runtime_costs(results: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Compare our runtime with what stands beside it in each measurement."""
    rows = (
        (name, f"{cost['ours_us']:.2f} µs", f"{cost['other_us']:.2f} µs", f"{cost['ratio']:.2f}")
        for name, cost in results.items()
    )
    return table(("Measured", "Ours", "The other", "Ratio"), rows)


def log_costs(results: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Compare the log bridge with the stock handler."""
    rows = (
        (
            name,
            f"{cost['without_us']:.2f} µs",
            f"{cost['ours_us']:.2f} µs",
            f"{cost['stock_us']:.2f} µs",
        )
        for name, cost in results.items()
        if "stock_us" in cost
    )
    return table(("One record with", "No telemetry", "Our bridge", "Stock handler"), rows)


def demo_time(results: Mapping[str, float]) -> Iterator[str]:
    """Say what the demo did, how long it took, and how long it may take."""
    done = (f"{results[name]:,}" for name in ("runs", "tasks"))
    times = (f"{results['seconds']:.0f} s", f"{results['goal_seconds']} s")
    heads = ("Runs", "Task deliveries", "Installed environment to report", "To reach")
    row = (*done, *times, str(results["equal"]))
    return table((*heads, "Ledger equals telemetry"), [row])


def relay_costs(results: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Compare what a delivery costs whom, by the way its telemetry leaves its process."""
    rows = (
        (name, f"{c['cpu_ms']:.2f} ms", f"{c['relay_cpu_ms']:.2f} ms", f"{c['ms']:.2f} ms")
        for name, c in results.items()
    )
    return table(("A delivery", "CPU of the child", "CPU of the relay", "On the clock"), rows)


def query_costs(results: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Compare requests, and what of them is the spans of queries."""
    requests = results["cpu_us_a_request"]
    spans = results["cpu_us_a_query_span"]
    rows = [(name, f"{requests[name]:,.0f} µs", "") for name in requests if name not in spans]
    rows += [(name, f"{requests[name]:,.0f} µs", f"{cost:.0f} µs") for name, cost in spans.items()]
    return table(("Set-up", "A request", "Of it, a query's span"), rows)


def start_costs(results: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Compare the starts of a process."""
    rows = [
        (
            host,
            *(f"{cost[f'{setup}_ms']:,} ms" for setup in ("bare", "ours", "stock")),
            f"{cost['ratio_of_what_is_added']:.2f}",
        )
        for host, cost in results.items()
    ]
    return table(("Process", "Bare", "Ours", "Stock", "What ours adds / stock adds"), rows)


MEASURED = {
    "runtime": runtime_costs,
    "logs": log_costs,
    "demo": demo_time,
    "relay": relay_costs,
    "queries": query_costs,
    "start": start_costs,
}


class Measured(Generated):
    """`{measured} <name>`: figures that a benchmark has written."""

    required_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Return the table of the file that the page asks for."""
        name = self.arguments[0]
        path = Path(__file__).parent.parent / "benchmarks" / f"{name}.json"
        self.env.note_dependency(str(path))
        return MEASURED[name](json.loads(path.read_text())["results"])


class Configuration(Generated):
    """`{configuration}`: every field."""

    def markdown(self) -> Iterator[str]:
        """Return all fields."""
        return configuration()


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directives."""
    app.add_directive("catalogue", Catalogue)
    app.add_directive("configuration", Configuration)
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True}
