"""`manage.py audit_verify`: find what was altered, inserted or removed in the audit table."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from etl_telemetry import setup
from etl_telemetry.django.audit import heads, store
from etl_telemetry.django.audit.heads import Head
from etl_telemetry.django.audit.verify import Verification


class Command(BaseCommand):
    """Verify the chain of one database; the exit code is 1 where something is wrong."""

    help = "Find every altered, inserted or removed row of the audit table."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say which options there are."""
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="alias of the database")
        parser.add_argument(
            "--heads", type=Path, help="file of published heads (default: AUDIT_HEADS_FILE)"
        )
        parser.add_argument(
            "--head", action="append", default=[], metavar="NUMBER:DIGEST",
            help="a head from the log stream; may be repeated",
        )  # fmt: skip

    def handle(
        self, *args: Any, database: str, heads: Path | None, head: list[str], **options: Any
    ) -> None:
        """Verify."""
        if not store.is_migrated(database):
            raise CommandError(f"the database {database!r} has no audit table: run migrate")
        found = 0
        try:
            verification = Verification(database, _published(database, heads, head))
            for problem in verification.problems():
                found += 1
                self.stdout.write(problem)
        except (OSError, ValueError) as error:
            raise CommandError(f"the published heads cannot be read: {error}") from error
        if verification.sealed_elsewhere:
            self.stdout.write(
                f"{verification.sealed_elsewhere} rows have a seal of a key that is not known any "
                "more: the chain alone vouches for them"
            )
        seen = f"{verification.rows} events in {verification.blocks} blocks"
        if found:
            raise CommandError(f"{seen}: {found} problems")
        self.stdout.write(f"{seen}: nothing was altered, inserted or removed")


def _published(database: str, file: Path | None, named: list[str]) -> Iterator[Head]:
    if named:
        found = [re.fullmatch(r"(\d+):([0-9a-f]{64})", one) for one in named]
        if not all(found):
            raise CommandError("--head must be a number, a colon and 64 hexadecimal digits")
        return iter(sorted((Head(int(m[1]), m[2]) for m in found if m), key=lambda h: h.number))
    telemetry = setup.active()
    configured = None if telemetry is None else telemetry.config.audit_heads_file
    path = file or (None if configured is None else Path(configured))
    return iter(()) if path is None else heads.read(path, database)
