"""The report in the terminal: runs, rows, one trace, and the reconciliation."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from demo import trace
from demo.facts import ROW_KINDS
from demo.summary import Summary, percentile

STATUSES = ("success", "failed", "cancelled", "lost")


def show(console: Console, summary: Summary, example: trace.Example | None) -> None:
    """Print everything."""
    console.print(_runs(summary))
    console.print(_steps(summary))
    if example is not None:
        console.rule("One run")
        console.print(trace.show(example))
    console.rule("Reconciliation: ledger against OTLP")
    for difference in summary.differences:
        console.print(str(difference), style="red")
    if summary.differences:
        console.print(f"NOT EQUAL: {len(summary.differences)} differences", style="bold red")
    else:
        console.print(f"EQUAL: {_total(summary)}", style="bold green")


def _total(summary: Summary) -> str:
    facts = summary.facts
    return (
        f"{sum(facts.runs.values()):,} runs, {sum(facts.traces.values()):,} run traces, "
        f"{sum(facts.tasks.values()):,} task deliveries with their spans and log records, "
        f"{summary.rows()['read']:,} rows read"
    )


def _runs(summary: Summary) -> Table:
    table = Table(title="Runs that arrived over OTLP", show_footer=True)
    totals = summary.rows()
    table.add_column("pipeline", "all", no_wrap=True)
    for status in STATUSES:
        number = sum(n for (_, found), n in summary.facts.runs.items() if found == status)
        table.add_column(status, f"{number:,}", justify="right")
    table.add_column("rate", _percent(summary.success_rate()), justify="right")
    for kind in ROW_KINDS:
        table.add_column(f"rows {kind}", f"{totals.get(kind, 0):,}", justify="right")
    everything = sorted(value for values in summary.durations.values() for value in values)
    for share in (50, 95):
        table.add_column(f"p{share} s", _seconds(percentile(everything, share)), justify="right")
    for name in summary.pipelines:
        rows, seconds = summary.rows(name), summary.durations.get(name, ())
        table.add_row(
            name,
            *(_count(summary.facts.runs.get((name, status), 0)) for status in STATUSES),
            _percent(summary.success_rate(name)),
            *(_count(rows.get(kind, 0)) for kind in ROW_KINDS),
            *(_seconds(percentile(seconds, share)) for share in (50, 95)),
        )
    return table


def _steps(summary: Summary) -> Table:
    table = Table(title="Rows by step: read = processed + rejected + skipped")
    table.add_column("step")
    for kind in ROW_KINDS:
        table.add_column(kind, justify="right")
    for step, counts in summary.rows_by_step().items():
        table.add_row(step, *(_count(counts.get(kind, 0)) for kind in ROW_KINDS))
    return table


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
