"""Use the installed wheel in an environment that has nothing else: `nox -s build` runs this."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import etl_telemetry
from etl_telemetry import log_context, pipeline_run, setup_telemetry, span, step, traced


@traced
def extract() -> list[int]:
    """Stand for an application's function."""
    return [1, 2, 3]


def main() -> None:
    """Walk through the public surface once, without Django, Celery or a receiver."""
    none = dict.fromkeys(("traces_exporter", "metrics_exporter", "logs_exporter"), "none")
    telemetry = setup_telemetry(service_name="smoke", **none)
    with (
        pipeline_run("smoke", organization="nobody"),
        log_context(try_number=1),
        span("part"),
        step("extract") as rows,
    ):
        rows.add_rows(read=len(extract()), written=3)
    delivered = telemetry.shutdown(deadline=2.0)
    command = str(Path(sys.executable).with_name("etl-telemetry"))
    subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)
    for absent in ("django", "celery"):
        if absent in sys.modules:
            sys.exit(f"smoke: {absent} was imported")
    if not delivered:
        sys.exit("smoke: shutdown() did not finish within its deadline")
    print("smoke:", etl_telemetry.__name__, version("etl-telemetry"), "works on", sys.version)


if __name__ == "__main__":
    main()
