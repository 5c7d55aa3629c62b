"""The fixture `telemetry`, for the tests of a project that uses us.

In the `conftest.py` at the root of the tests:

    pytest_plugins = ["etl_telemetry.testing.pytest_plugin"]

From then on no test exports anything, whether it uses the fixture or not.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etl_telemetry.testing.capture import Captured, capture, keep_inside


def pytest_configure() -> None:
    """Keep telemetry inside of the process for all tests."""
    keep_inside()


@pytest.fixture
def telemetry() -> Iterator[Captured]:
    """Give what this test would have exported: `.spans`, `.metrics`, `.logs`, `.audit`."""
    with capture() as captured:
        yield captured
