"""`etl-telemetry generate`: write the files of the backends with a team's own numbers."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from etl_telemetry.errors import ConfigurationError, MissingExtraError
from etl_telemetry.ops import thresholds
from etl_telemetry.ops.kibana.model import JAEGER
from etl_telemetry.ops.rules.model import DOCS, GRAFANA

_UNUSABLE = 2
_KINDS = ("rules", "dashboards", "index-templates", "kibana")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "numbers:\n" + "\n".join(
        f"  {field.name}={field.default:g}" for field in dataclasses.fields(thresholds.Thresholds)
    )
    add = parser.add_argument
    add("kind", choices=_KINDS, help="what to write")
    add("--out", metavar="DIR", type=Path, help="folder to write into (default: here)")
    add(
        "--set", metavar="NAME=VALUE", action="append", default=[],
        help="a number of your own, as often as you like",
    )  # fmt: skip
    add(
        "--runbooks", metavar="URL", default=DOCS,
        help="where your runbooks are (default: %(default)s)",
    )  # fmt: skip
    add(
        "--grafana", metavar="URL", default=GRAFANA,
        help="where your Grafana is (default: %(default)s)",
    )  # fmt: skip
    add(
        "--jaeger", metavar="URL", default=JAEGER,
        help="where people open Jaeger (default: %(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write the files, and their names on the standard output; return the exit code."""
    try:
        limits = thresholds.parse(options.set)
        try:
            from etl_telemetry.ops.generate import KINDS, Options, write

            given = Options(
                limits=limits,
                runbooks=options.runbooks.rstrip("/"),
                grafana=options.grafana.rstrip("/"),
                jaeger=options.jaeger.rstrip("/"),
            )
            paths = write(KINDS[options.kind], given, options.out or Path())
        except ImportError as error:
            package = (error.name or "yaml").partition(".")[0]
            raise MissingExtraError(
                extra="ops", needed_for="etl-telemetry generate", missing=package
            ) from error
        for path in paths:
            sys.stdout.write(f"{path}\n")
    except (ConfigurationError, MissingExtraError) as error:
        sys.stderr.write(f"{error}\n")
        return _UNUSABLE
    except OSError as error:
        sys.stderr.write(f"etl-telemetry: {error.filename}: {error.strerror}\n")
        return _UNUSABLE
    return 0
