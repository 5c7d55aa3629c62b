"""`nox -s stack -- up`: the real engines and the example platform, until Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from support.engines import EngineError
from support.pages import REPOSITORY
from support.stack import EngineFailed, Stack, ending, hints

if TYPE_CHECKING:
    from support.stack.platform import Platform

SHOWN = "airports-yv"
"""The run whose metrics, logs and trace are shown: it is in three tasks, HTTP, SQL and Redis."""
BEFORE = "flights-yv-lga"
"""What has to run first: the other one reads what it loads."""
FAILED = 1


def main() -> int:
    """Run until Ctrl-C and return the exit code."""
    parser = argparse.ArgumentParser(prog="nox -s stack -- up", description=__doc__)
    parser.add_argument(
        "--engines-only", action="store_true", help="no platform: you run your application"
    )
    given = parser.parse_args()
    # The platform's `demo` knows how to start it; appended, so that nothing else is hidden.
    sys.path.append(str(REPOSITORY / "examples" / "etl_platform"))
    from demo.errors import DemoError

    folder = Path(tempfile.mkdtemp(prefix="etl-stack-"))
    keep = True
    ending.in_good_order()
    try:
        _run(folder, engines_only=given.engines_only)
    except (EngineError, EngineFailed, DemoError) as error:
        print(f"stack: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        keep = False
        print("Stopped.")
        return ending.INTERRUPTED
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _run(folder: Path, *, engines_only: bool) -> None:
    print(f"Data and logs: {folder}\nStarting the engines.", flush=True)
    with Stack(folder, usual_ports=True) as stack:
        if engines_only:
            print(hints.engines(stack), flush=True)
            _serve(stack)
        from support.stack.platform import Platform

        print("Starting the platform, and a run.", flush=True)
        with Platform(
            folder / "platform",
            endpoint=stack.collector.otlp_http,
            usual_ports=True,
            variables={"ETL_PLATFORM_TRACE_URL": hints.trace_url(stack)},
        ) as platform:
            run = _one_run(platform)
            stack.settle()
            print(hints.engines(stack), hints.platform(platform), hints.run(stack, run), sep="")
            _serve(stack, platform)


def _one_run(platform: Platform) -> dict[str, str]:
    platform.manage("run_pipeline", BEFORE, "--wait")
    platform.manage("run_pipeline", SHOWN, "--wait")
    platform.wait_until_quiet()
    time.sleep(1)  # What has ended is exported within half a second.
    (run,) = (run for run in platform.ledger()["run_list"] if run["pipeline"] == SHOWN)
    return run


def _serve(stack: Stack, platform: Platform | None = None) -> None:
    """Wait for Ctrl-C, or for something that ends by itself.

    Raises:
        EngineFailed: An engine did.
    """
    print("Ctrl-C stops everything.", flush=True)
    while True:
        stack.check()
        if platform is not None:
            platform.fleet.check()
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
