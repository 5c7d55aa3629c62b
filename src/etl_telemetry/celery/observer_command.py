"""`etl-telemetry observer`: the observer of a project without Django."""

from __future__ import annotations

import argparse
import sys

from celery.app.utils import find_app

from etl_telemetry import observing
from etl_telemetry.errors import TelemetryError
from etl_telemetry.setup import setup_telemetry

_UNUSABLE = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--app",
        required=True,
        metavar="MODULE:APP",
        help="Celery app, as in `celery -A`; its module calls setup_telemetry()",
    )
    observing.configure(parser)


def run(options: argparse.Namespace) -> int:
    """Report until SIGINT or SIGTERM; return the exit code."""
    try:
        find_app(options.app).set_current()
        config = setup_telemetry().config
        lead = observing.file_lead(config, options.lock)
        observing.command(options, config, lead, lambda text: sys.stdout.write(f"{text}\n"))
    except (TelemetryError, ImportError, AttributeError) as error:
        sys.stderr.write(f"etl-telemetry observer: {error}\n")
        return _UNUSABLE
    return 0
