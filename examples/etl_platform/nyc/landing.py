"""The landing zone: the files as the carriers and airports would deliver them.

The data set has all flights in one file. A real platform gets a file per carrier and
airport, so the one file is split once, at first use, into

    landing/flights/UA-EWR.csv   one per carrier and origin (35 files, 336,776 flights)
    landing/weather/EWR.csv      one per origin (3 files, 26,115 observations)
    landing/fleet/AA.csv         a vendor's file, in which a column was renamed
    landing/planes.csv           the registry of planes
    landing/airlines.csv         the carriers
    landing/airports.csv         what the reference API serves
"""

from __future__ import annotations

import csv
import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from nyc import dataset

RENAMED_COLUMN = ("tailnum", "tail_number")
"""The vendor of the fleet file renamed the first to the second, and told nobody."""


def prepare(root: Path) -> Path:
    """Split the data set below `root` unless that is done, and return the landing zone.

    Safe to call from many processes at once: one of them does it, the others wait.
    """
    landing = root / "landing"
    if landing.exists():
        return landing
    root.mkdir(parents=True, exist_ok=True)
    with _only_one(root / ".landing.lock"):
        if not landing.exists():
            fresh = root / ".landing.new"
            shutil.rmtree(fresh, ignore_errors=True)
            _write(fresh)
            fresh.rename(landing)
    return landing


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _write(landing: Path) -> None:
    for name in ("flights", "weather", "fleet"):
        (landing / name).mkdir(parents=True)
    for name in ("planes", "airlines", "airports"):
        shutil.copyfile(dataset.directory() / f"{name}.csv", landing / f"{name}.csv")
    _split("flights", landing / "flights", by=("carrier", "origin"))
    _split("weather", landing / "weather", by=("origin",))
    _write_fleet(landing)


def _split(table: str, folder: Path, *, by: tuple[str, ...]) -> None:
    with ExitStack() as files, dataset.open_table(table) as stream:
        rows = csv.reader(stream)
        header = next(rows)
        keys = [header.index(name) for name in by]
        writers: dict[tuple[str, ...], Any] = {}
        for row in rows:
            key = tuple(row[index] for index in keys)
            writer = writers.get(key)
            if writer is None:
                path = folder / f"{'-'.join(key)}.csv"
                target = files.enter_context(path.open("w", encoding="utf-8", newline=""))
                writer = writers[key] = csv.writer(target, lineterminator="\n")
                writer.writerow(header)
            writer.writerow(row)


def _write_fleet(landing: Path) -> None:
    old, new = RENAMED_COLUMN
    header, _, rest = (landing / "planes.csv").read_text(encoding="utf-8").partition("\n")
    (landing / "fleet" / "AA.csv").write_text(
        f"{header.replace(old, new, 1)}\n{rest}", encoding="utf-8"
    )


def flight_files(landing: Path) -> list[tuple[str, str]]:
    """Return (carrier, origin) of every flights file, sorted."""
    stems = sorted(path.stem for path in (landing / "flights").glob("*.csv"))
    return [(stem[:2], stem[3:]) for stem in stems]


def carriers(landing: Path) -> list[tuple[str, str]]:
    """Return (code, name) of the 16 carriers."""
    with (landing / "airlines.csv").open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        next(rows)
        return [(code, name) for code, name in rows]


@lru_cache(maxsize=1)
def planes(root: Path) -> dict[str, int | None]:
    """Return the year in which each plane of the registry was built, None if unknown."""
    with (prepare(root) / "planes.csv").open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        next(rows)
        return {row[0]: int(row[1]) if row[1].isdigit() else None for row in rows}
