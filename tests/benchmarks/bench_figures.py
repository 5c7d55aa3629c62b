"""Measure the figures of one organization: 1,000,000 runs and 3,000,000 task runs in PostgreSQL.

    python tests/benchmarks/bench_figures.py [--runs 1000000] [--sqlite]

Starts a server of its own, fills the tables of the host project of `tests/django/host` with 50
organizations and 2,000 pipelines whose runs all began within the window, makes the indexes that
docs/how-to/pipelines.md names, and writes figures.json and figures.md into docs/benchmarks. The
number to reach: all figures of one organization in under a second. `--sqlite` measures the same on
a file of SQLite, and prints only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

TESTS = Path(__file__).parents[1]
HOST = TESTS / "django" / "host"
OUTPUT = Path(__file__).parents[2] / "docs" / "benchmarks"
ORGANIZATIONS, PIPELINES = 50, 2_000
ROUNDS = 7
GOAL = 1.0
STATES = (*["DONE"] * 8, "ERROR", "STOPPED")
INDEXES = (
    "CREATE INDEX run_window ON work_execution (flow_id, begun) INCLUDE (state, ended, id)",
    "CREATE INDEX run_last_success ON work_execution (flow_id, state, ended)",
    "CREATE INDEX run_ended ON work_execution (ended)",
    "CREATE INDEX run_active ON work_execution (state) WHERE state IN ('QUEUED', 'RUNNING')",
)
"""Those of the page, with the host's columns. Django makes one for each foreign key."""
FILL = (
    "SET session_replication_role = replica",  # No check of each foreign key.
    "INSERT INTO work_team (code) SELECT 'org ' || n FROM generate_series(1, %(organizations)s) n",
    (
        "INSERT INTO work_flow (title, team_id) SELECT 'pipeline ' || n, 1 + n %% %(organizations)s"
        " FROM generate_series(1, %(pipelines)s) n"
    ),
    (
        "INSERT INTO work_execution (id, flow_id, state, begun, ended, origin, try_no, problem,"
        " stop_asked) SELECT md5(n::text)::uuid, 1 + n %% %(pipelines)s,"
        " (ARRAY['DONE','DONE','DONE','DONE','DONE','DONE','DONE','DONE','ERROR','STOPPED'])"
        "[1 + n / %(pipelines)s %% 10], now() - n * interval '2592000 s' / %(runs)s,"
        " now() - n * interval '2592000 s' / %(runs)s + (1 + n %% 997) * interval '1 s',"
        " 'schedule', 1, '', false FROM generate_series(1, %(runs)s) n"
    ),
    (
        "INSERT INTO work_job (execution_id, stats) SELECT md5((1 + n / 3)::text)::uuid,"
        " jsonb_build_object('rows', n %% 1000, 'worker', 'celery@host', 'memory_mb', 120.5)"
        " FROM generate_series(0, 3 * %(runs)s - 1) n"
    ),
    "SET session_replication_role = DEFAULT",
)


def prepare(folder: str, url: str) -> None:
    """Set Django up for the host, with its tables on the server."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "settings", "HOST_FOLDER": folder, "OTEL_SDK_DISABLED": "true",
        "HOST_DATABASES": json.dumps({"default": url}),
    }  # fmt: skip
    sys.path[:0] = [str(HOST), str(TESTS)]
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def fill(runs: int) -> float:
    """Fill the tables; return the seconds that it took."""
    from django.db import connection

    begin = time.perf_counter()
    sizes = {"organizations": ORGANIZATIONS, "pipelines": PIPELINES, "runs": runs}
    with connection.cursor() as cursor:
        for statement, value in defaults():
            cursor.execute(statement, [value])
        for statement in FILL:
            cursor.execute(statement, sizes)
        for statement in INDEXES:
            cursor.execute(statement)
        cursor.execute("VACUUM ANALYZE")
    return time.perf_counter() - begin


def fill_sqlite(runs: int) -> None:
    """Fill the tables of a SQLite file in the same way."""
    from django.db import connection
    from django.utils import timezone
    from work.models import Execution, Flow, Job, Team

    now, step = timezone.now(), timedelta(days=30) / runs
    Team.objects.bulk_create(Team(code=f"org {n}") for n in range(1, ORGANIZATIONS + 1))
    Flow.objects.bulk_create(
        Flow(title=f"pipeline {n}", team_id=1 + n % ORGANIZATIONS) for n in range(1, PIPELINES + 1)
    )
    for first in range(0, runs, 10_000):
        made = [
            Execution(
                flow_id=1 + n % PIPELINES, state=STATES[n // PIPELINES % 10], begun=now - n * step,
                ended=now - n * step + timedelta(seconds=1 + n % 997),
            )
            for n in range(first, min(first + 10_000, runs))
        ]  # fmt: skip
        Execution.objects.bulk_create(made)
        Job.objects.bulk_create(
            Job(execution=run, stats={"rows": n, "worker": "celery@host", "memory_mb": 120.5})
            for run in made
            for n in range(3)
        )
    with connection.cursor() as cursor:
        for statement in INDEXES:
            cursor.execute(statement.replace(" INCLUDE (state, ended, id)", ""))
        cursor.execute("ANALYZE")


def defaults() -> Iterator[tuple[str, object]]:
    """Give what makes the database know the defaults that Django keeps to itself."""
    from work.models import Execution, Flow, Job, Team

    for model in (Team, Flow, Execution, Job):
        for field in model._meta.concrete_fields:
            value = field.get_default() if field.has_default() else None
            if isinstance(value, (int, str)):
                table = f"ALTER TABLE {model._meta.db_table}"
                yield f"{table} ALTER {field.column} SET DEFAULT %s", value


def measured(ask: Callable[[], Any]) -> dict[str, float]:
    """Return the first and the median time of a question, and its CPU time, all in seconds.

    On a machine that is busy with something else only the CPU time, of client and server
    process together, tells what the question costs.
    """
    times, used = [], []
    for _ in range(ROUNDS):
        begin, cpu = time.perf_counter(), time.process_time() + server_cpu()
        ask()
        times.append(time.perf_counter() - begin)
        used.append(time.process_time() + server_cpu() - cpu)
    return {
        "first": round(times[0], 3),
        "median": round(statistics.median(times[1:]), 3),
        "cpu": round(statistics.median(used), 3),
    }


def server_cpu() -> float:
    """Return the CPU seconds of the server's process for our connection (no worker of it)."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return 0.0  # It has no server: all is this process' own.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def ask(runs: int) -> dict[str, dict[str, float]]:
    """Ask the questions of the dashboard."""
    from work.models import Team

    from etl_telemetry.django.dashboard import charts, questions
    from etl_telemetry.django.dashboard import runs as run_pages
    from etl_telemetry.django.dashboard.access import Access
    from etl_telemetry.django.dashboard.window import Window
    from etl_telemetry.django.figures import pipeline_metrics, run_series, system_metrics
    from etl_telemetry.django.ledger import active_runs, last_successes

    team = Team.objects.get(code="org 7")
    mine = pipeline_metrics(organizations=[team])
    share = sum(one.total_runs for one in mine)
    if len(mine) != PIPELINES // ORGANIZATIONS or abs(share - runs / ORGANIZATIONS) > runs / 1000:
        raise SystemExit(f"expected 40 pipelines with 1/50 of the runs, got {len(mine)}, {share}")

    def all_figures() -> None:
        pipeline_metrics(organizations=[team])
        system_metrics(organizations=[team])

    see = Access((team.pk,), (team.code,))
    month, year = Window("30d", timedelta(days=30)), Window("366d", timedelta(days=366))
    row = questions.pipeline_row(see, month, str(mine[0].pipeline_id))
    if row is None:
        raise SystemExit("expected to see a pipeline of one's own organization")
    last = max(1, row.figures.total_runs // run_pages.PAGE)

    return {
        "all figures of one organization": measured(all_figures),
        "all figures of all 50 organizations": measured(
            lambda: (pipeline_metrics(), system_metrics())
        ),
        "charts of one organization, 30 days": measured(
            lambda: charts.of(run_series(organizations=[team], window=month.length))
        ),
        "charts of one organization, 366 days": measured(
            lambda: charts.of(run_series(organizations=[team], window=year.length))
        ),
        "table of its pipelines, by name": measured(
            lambda: questions.pipeline_page(see, month, number=1, search="")
        ),
        "table of its pipelines, most failed first": measured(
            lambda: questions.pipeline_page(see, month, number=1, search="", order="-failed")
        ),
        "runs of a pipeline, first page": measured(lambda: run_pages.run_page(row, number=1)),
        "runs of a pipeline, last page": measured(lambda: run_pages.run_page(row, number=last)),
        "active runs": measured(active_runs),
        "last successes of all pipelines": measured(last_successes),
    }


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    sys.path.append(str(TESTS))
    if options.sqlite:
        with tempfile.TemporaryDirectory(prefix="etl-figures-") as folder:
            prepare(folder, "host.sqlite3")
            fill_sqlite(options.runs)
            tell(ask(options.runs))
        return
    from support.postgresql import server

    with (
        tempfile.TemporaryDirectory(prefix="etl-figures-") as folder,
        server(Path(folder)) as url,
    ):
        prepare(folder, url)
        filling = fill(options.runs)
        results = ask(options.runs)
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            version = cursor.fetchone()[0]
        connection.close()
    facts = {
        "command": f"python tests/benchmarks/bench_figures.py --runs {options.runs}",
        "postgresql": version, "python": platform.python_version(), "cores": os.cpu_count(),
        "runs": options.runs, "task_runs": 3 * options.runs, "organizations": ORGANIZATIONS,
        "pipelines": PIPELINES, "filled_in_seconds": round(filling, 1), "goal_seconds": GOAL,
        "load": round(os.getloadavg()[0], 1), "results": results,
    }  # fmt: skip
    (options.output / "figures.json").write_text(json.dumps(facts, indent=2) + "\n")
    (options.output / "figures.md").write_text(page(facts))
    tell(results)


def tell(results: dict[str, dict[str, float]]) -> None:
    """Print the times."""
    for question, seconds in results.items():
        times = f"first {seconds['first']:.3f} s, then {seconds['median']:.3f} s"
        print(f"{question:40} {times}, CPU {seconds['cpu']:.3f} s")


def page(facts: dict[str, Any]) -> str:
    """Return the page for people."""
    rows = "\n".join(
        f"| {question} | {seconds['first']:.3f} | {seconds['median']:.3f} | {seconds['cpu']:.3f} |"
        for question, seconds in facts["results"].items()
    )
    return f"""---
orphan: true
---

# Figures from the database: seconds

{facts["runs"]:,} runs and {facts["task_runs"]:,} task runs, of {facts["organizations"]}
organizations and {facts["pipelines"]:,} pipelines, all within the window of 30 days.
PostgreSQL {facts["postgresql"]}, in its own configuration, with the indexes of
[the page](../how-to/pipelines.md). {facts["cores"]} cores shared with the client
(Python {facts["python"]}) and, by the load average of {facts["load"]}, with others.
The number to reach is one second for all figures of one organization.

| question | first time | then (median of {ROUNDS - 1}) | CPU, client and server |
| --- | --: | --: | --: |
{rows}

Made by

```text
{facts["command"]}
```
"""


if __name__ == "__main__":
    main()
