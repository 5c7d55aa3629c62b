"""Measure what chaining costs: transactions a second of 8 writers, with and without a drainer.

On a real PostgreSQL, in rounds that alternate, so that a busy machine slows both. Each
writer is a process; a transaction updates a row of its own and records an audit event.
Written to docs/benchmarks/audit.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks" / "audit.json"
sys.path[:0] = [str(Path(__file__).parents[1])]
WRITERS = 8


def set_up(url: str) -> None:
    """Set Django up in this process; nothing is exported over the network."""
    from urllib.parse import parse_qsl, urlsplit

    import django
    from django.conf import settings

    parts = urlsplit(url)
    settings.configure(
        SECRET_KEY="bench",
        INSTALLED_APPS=[
            "django.contrib.contenttypes", "django.contrib.auth", "etl_telemetry.django",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": parts.username,
                "PASSWORD": parts.password or "",
                "HOST": dict(parse_qsl(parts.query)).get("host") or parts.hostname,
                "PORT": str(parts.port or ""),
            }
        },
        LOGGING_CONFIG=None,
        ETL_TELEMETRY={"ENABLED": False},
    )  # fmt: skip
    django.setup()


def writer(url: str, number: int, seconds: float, gate: Barrier, totals: Any) -> None:
    """Commit transactions for so many seconds whenever the gate opens; count them."""
    set_up(url)
    from django.db import connection, transaction

    from etl_telemetry import audit

    def transact() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("UPDATE bench SET value = value + 1 WHERE id = %s", [number])
            audit.record(
                "pipeline_updated", actor=number, organization="acme",
                resource={"type": "pipeline", "id": number},
                details={"before": {"name": "a"}, "after": {"name": "b"}},
            )  # fmt: skip

    transact()
    while True:
        gate.wait()
        done, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            transact()
            done += 1
        totals[number] = done
        gate.wait()


def chainer(url: str, active: Event) -> None:
    """Chain every half second while it is asked to."""
    set_up(url)
    from etl_telemetry.django.audit import chain

    while active.wait():
        while (block := chain.extend("default")) is not None and block.rows == chain.BLOCK:
            pass
        time.sleep(0.5)


class Bench:
    """Eight writers and a drainer, started once."""

    def __init__(self, url: str, seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._seconds = seconds
        self._gate = context.Barrier(WRITERS + 1)
        self._totals = context.Array("q", WRITERS)
        self._active = context.Event()
        self._processes = [
            context.Process(
                target=writer, args=(url, number, seconds, self._gate, self._totals), daemon=True
            )
            for number in range(WRITERS)
        ]
        self._processes.append(
            context.Process(target=chainer, args=(url, self._active), daemon=True)
        )
        for process in self._processes:
            process.start()

    def measure(self, *, chained: bool) -> tuple[float, int]:
        """Return transactions a second of all writers, and rows that waited at the end."""
        from etl_telemetry.django.audit import chain
        from etl_telemetry.django.models import AuditRow

        while chain.extend("default") is not None:  # Each measurement begins with nothing.
            pass
        if chained:
            self._active.set()
        self._gate.wait()
        self._gate.wait()
        self._active.clear()
        waiting = AuditRow.objects.filter(block=None).count() if chained else 0
        return sum(self._totals) / self._seconds, waiting

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.terminate()
            process.join()


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    from support.postgresql import server

    with tempfile.TemporaryDirectory(prefix="etl-bench-") as folder, server(Path(folder)) as url:
        set_up(url)
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE bench (id int PRIMARY KEY, value int)")
            cursor.execute("INSERT INTO bench SELECT n, 0 FROM generate_series(0, 7) n")
            cursor.execute("SHOW server_version")
            version = cursor.fetchone()[0]
        bench = Bench(url, options.seconds)
        rounds: list[dict[str, float]] = []
        try:
            for number in range(options.rounds):
                order = (False, True) if number % 2 == 0 else (True, False)
                found = {chained: bench.measure(chained=chained) for chained in order}
                rounds.append(
                    {
                        "unchained": round(found[False][0], 1),
                        "chained": round(found[True][0], 1),
                        "ratio": round(found[True][0] / found[False][0], 3),
                        "waiting": found[True][1],
                    }
                )
                print(rounds[-1], flush=True)
        finally:
            bench.close()
            connection.close()
    report = {
        "command": f"python tests/benchmarks/bench_audit.py --rounds {options.rounds} "
        f"--seconds {options.seconds:g}",
        "python": platform.python_version(),
        "postgresql": version,
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "writers": WRITERS,
        "rounds": rounds,
        "median ratio": round(statistics.median(one["ratio"] for one in rounds), 3),
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
