"""The disk of the queues is full: what is refused is counted, and nothing is lost without a word.

The Collector drops an item that it cannot mark as being sent, and says so only at the level `debug`
(`persistent_queue.go` of exporterhelper 0.158). Whether it comes to that is chance.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.stack import Stack, eventually, losses
from support.stack.emitter import IMPATIENT, Emitter
from support.stack.losses import ROUNDS, Outcome
from support.stack.refusing import Refusing, refuse

SIZE = "2M"
SLOWLY = 600.0
"""Seconds for a full queue to be delivered; no measure of speed."""
PADDING = 1_000
"""Bytes of each span, so that the disk is soon full."""
DROPPED = re.compile("Failed to dispatch item.*no space left on device")
"""What the Collector says, at the level `debug`, when it drops an item that it cannot mark."""
LARGEST = 512
"""Spans or records of an item: what the application sends at once."""
REFUSED = ("otelcol_exporter_enqueue_failed_spans", "otelcol_exporter_enqueue_failed_log_records")


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Mount a small disk; its block device is a file, for `ext4`."""
    place = tmp_path / "disk"
    place.mkdir()
    commands = {
        "tmpfs": [["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]],
        "ext4": [
            ["truncate", "-s", SIZE, f"{place}.image"],
            ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", f"{place}.image"],
            ["mount", "-o", "loop", f"{place}.image", str(place)],
        ],
    }[request.param]
    for command in commands:
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            pytest.skip(f"no small disk can be made here: {error}")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no small disk can be mounted here: {error.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def between(stack: Stack) -> Iterator[Refusing]:
    """Stand between the Collector and Elasticsearch, whose start takes long."""
    with Refusing(stack.elasticsearch.address("http")) as between:
        yield between


@pytest.fixture
def small(stack: Stack, disk: Path, between: Refusing) -> Iterator[Stack]:
    """Give the Collector this disk for its queues, which may take more than there is."""
    with stack.collector.changed(
        ETL_QUEUE_DIRECTORY=str(disk / "queue"),
        ETL_LOG_LEVEL="debug",
        ELASTICSEARCH_ENDPOINT=between.address,
    ):
        yield stack


def refuses(stack: Stack) -> None:
    """Wait until the Collector answers that there is no room."""
    ask = stack.collector.ask
    eventually(
        "the disk is full",
        lambda: any(sum(ask.values(name, "exporter").values()) for name in REFUSED),
    )
    assert "no space left on device" in stack.collector.log.read_text()


def test_queue_that_fills_its_disk_refuses(small: Stack, between: Refusing) -> None:
    """What is on the disk arrives when the backends are back, the rest is counted."""
    begin = small.collector.log.stat().st_size
    small.jaeger.stop()
    between.answer = refuse(503)
    with Emitter(small.collector.otlp_http, padding=PADDING, **IMPATIENT) as emitter:
        refuses(small)
        losses.for_longer_than_the_application_tries()
        small.jaeger.start()
        between.answer = None
        emitter.go_on(ROUNDS)
        found = accounted(emitter, small, begin=begin)
    assert found.lost > 0


@pytest.mark.parametrize("room", ["before the start", "after the start"])
def test_restart_on_a_disk_that_others_have_filled(small: Stack, disk: Path, room: str) -> None:
    """What waits while others fill the disk arrives after `kill -9`, or is said to be dropped."""
    begin = small.collector.log.stat().st_size
    small.jaeger.stop()
    filler = disk / "filler"
    with Emitter(small.collector.otlp_http, padding=PADDING, **IMPATIENT) as emitter:
        emitter.go_on(ROUNDS)
        eventually("something waits", lambda: small.collector.waiting() > 0)
        fill(filler)
        refuses(small)
        small.collector.kill()
        if room == "before the start":
            filler.unlink()
        small.collector.start()
        filler.unlink(missing_ok=True)
        small.jaeger.start()
        emitter.go_on(ROUNDS)
        accounted(emitter, small, begin=begin)


def accounted(emitter: Emitter, stack: Stack, *, begin: int) -> Outcome:
    """End the application; return what arrived, when all that nobody says is lost is there, once.

    Every count is there: sums go on, so one that is lost is in the next.

    Counted items may have arrived too, where only the answer got lost; never the reverse. What the
    queues say of their sizes is of no use: what could not be written counts as waiting, and after
    a start on a full disk what waits may not. `begin` is where the log of this test begins.
    """
    emitted = emitter.end()
    soon = time.monotonic() + losses.PATIENT

    def found() -> Outcome:
        return Outcome(emitted.rounds, emitted.drops, emitter.arrived(stack))

    def silent() -> int:
        return found().lost - sum(emitted.drops.values())

    def dropped() -> int:
        with stack.collector.log.open(encoding="utf-8") as log:
            log.seek(begin)
            return LARGEST * sum(1 for line in log if DROPPED.search(line))

    eventually(
        "what is not counted arrives, or was dropped with a word",
        lambda: silent() <= 0 or (time.monotonic() > soon and silent() <= dropped()),
        timeout=SLOWLY,
        every=2,
    )
    losses.every_count_arrives(emitter, stack, emitted.rounds)
    assert found().doubled == 0
    return found()


def fill(path: Path) -> None:
    """Write a file until there is no room for another byte."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 512):
            pass
