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

from etl_telemetry.viewer.query import Query

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs" / "benchmarks" / "demo.json"
VOLUME = TARGET.with_name("volume.json")
GOAL = 90


def main() -> None:
    """Run the demo once, print and write."""
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
        facts = json.loads(report.read_text())
        sent = Query(Path(folder) / "data" / "telemetry.sqlite3").counts()
    result = {
        "command": "nox -s bench",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "results": {
            "seconds": round(seconds, 1),
            "goal_seconds": GOAL,
            "equal": facts["reconciliation"]["equal"],
        },
    }
    volume = {
        "command": "nox -s bench -- demo",
        "runs": facts["totals"]["runs"],
        "tasks": facts["totals"]["tasks"],
        "spans": sent["spans"],
        "log_records": sent["logs"],
        "series": sent["series"],
    }
    for path, found in ((TARGET, result), (VOLUME, volume)):
        path.write_text(json.dumps(found, indent=2) + "\n")
        sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
