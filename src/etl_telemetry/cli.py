"""`etl-telemetry`: one table of commands; each one's code is loaded only when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand."""

    name: str
    """Word on the command line."""
    summary: str
    """One line for `--help`."""
    module: str
    """Module with `configure(parser)` and `run(options) -> exit code`."""

    def load(self) -> ModuleType:
        """Import the module, which may need more than the core does."""
        return import_module(self.module)


COMMANDS: tuple[Command, ...] = (
    Command(
        "view",
        "receive OTLP/HTTP here and answer questions about it",
        "etl_telemetry.viewer.command",
    ),
    Command(
        "generate",
        "write rules, index templates, Kibana's objects",
        "etl_telemetry.ops.command",
    ),
    Command(
        "observer",
        "read queues, workers and schedules, and report them",
        "etl_telemetry.celery.observer_command",
    ),
)
"""All subcommands, in the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: Words after the program's name; None for those of this process.

    Raises:
        SystemExit: 0 after `--help` and `--version`, 2 after a wrong option.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="etl-telemetry", description="OpenTelemetry for ETL platforms on Django and Celery."
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {metadata.version('etl-telemetry')}"
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name, help=command.summary, description=_sentence(command.summary)
        )
        if command.name in words:  # Only then: `--help` needs no receiver and no Django.
            module = command.load()
            module.configure(subparser)
            subparser.set_defaults(run=module.run)
    options = parser.parse_args(words)
    code: int = options.run(options)
    return code


def _sentence(summary: str) -> str:
    # Not `capitalize()`, which would write "otlp/http".
    return f"{summary[:1].upper()}{summary[1:]}."
