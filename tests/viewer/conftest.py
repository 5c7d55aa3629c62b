"""A store, a receiver and a query for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store


@pytest.fixture
def store() -> Iterator[Store]:
    """Give an empty temporary store."""
    with Store() as opened:
        yield opened


@pytest.fixture
def query(store: Store) -> Query:
    """Give the read side of the store."""
    return Query(store.path)


@pytest.fixture
def receiver(store: Store) -> Iterator[Receiver]:
    """Give a running receiver that writes into the store."""
    with Receiver(store, max_body=100_000) as started:
        yield started
