"""Measure the demo: from the installed environment to the report, and what its runs send.

Written to docs/benchmarks: the time to demo.json (the number to reach is 90 s on two cores); to
volume.json the spans and log records, which do not depend on the machine, for the sizing page.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from etl_telemetry.viewer.query import Query

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "benchmarks" / "demo.json"
VOLUME = TARGET.with_name("volume.json")
COMMAND = "nox -s bench -- demo"
GOAL = 90
AUDIT, ERROR = "etl_telemetry.audit", 17
"""The logger of audit events; OTLP's number of the severity from which a record is an error."""


def run() -> tuple[float, dict[str, Any], dict[str, int]]:
    """Run the demo once; return its seconds, its report, and what its viewer has."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "demo.json"
        begin = time.perf_counter()
        subprocess.run(
            [
                *(sys.executable, "-m", "demo", "--once", "--report", str(report)),
                *("--data", f"{folder}/data"),
            ],
            cwd=ROOT / "examples" / "etl_platform",
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = time.perf_counter() - begin
        return seconds, json.loads(report.read_text()), sent(Path(folder))


def sent(folder: Path) -> dict[str, int]:
    """Return how much of what the viewer has; each log record is in one data stream."""
    query = Query(folder / "data" / "telemetry.sqlite3")
    counts = query.counts()
    records = query.logs(limit=None)
    ordinary = [record for record in records if record.scope.name != AUDIT]
    return {
        "spans": counts["spans"],
        "log_records": counts["logs"],
        "error_records": sum(record.severity >= ERROR for record in ordinary),
        "audit_events": len(records) - len(ordinary),
        "series": counts["series"],
    }


def main() -> None:
    """Run the demo once, print and write."""
    seconds, facts, volume = run()
    made = {"command": COMMAND, "date": time.strftime("%Y-%m-%d", time.gmtime())}
    done = {name: facts["totals"][name] for name in ("runs", "tasks")}
    result = {
        **made,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "results": {
            **done,
            "seconds": round(seconds, 1),
            "goal_seconds": GOAL,
            "equal": facts["reconciliation"]["equal"],
        },
    }
    for path, found in ((TARGET, result), (VOLUME, {**made, **done, **volume})):
        path.write_text(json.dumps(found, indent=2) + "\n")
        sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
