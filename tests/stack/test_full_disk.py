"""The disk of the queues is full: what is answered with 200 is kept, the rest is counted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.stack import Stack, eventually, losses
from support.stack.emitter import IMPATIENT, Emitter
from support.stack.losses import ROUNDS, Outcome

SIZE = "4M"
SLOWLY = 600.0
"""Seconds for a full queue to be delivered; no measure of speed."""
PADDING = 1_000
"""Bytes of each span, so that the disk is soon full."""
SILENT = "Failed to dispatch item"
"""What the Collector says, at the level `debug`, when it drops an item that it cannot mark."""
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
def small(stack: Stack, disk: Path) -> Iterator[Stack]:
    """Give the Collector this disk for its queues, which may take more than there is."""
    with stack.collector.changed(ETL_QUEUE_DIRECTORY=str(disk / "queue")):
        yield stack


def refuses(stack: Stack) -> None:
    """Wait until the Collector answers that there is no room."""
    ask = stack.collector.ask
    eventually(
        "the disk is full",
        lambda: any(sum(ask.values(name, "exporter").values()) for name in REFUSED),
    )
    assert "no space left on device" in stack.collector.log.read_text()


def test_queue_that_fills_its_disk_refuses(small: Stack) -> None:
    """What is on the disk arrives when the backends are back, the rest is counted."""
    for backend in (small.jaeger, small.elasticsearch):
        backend.stop()
    with Emitter(small.collector.otlp_http, padding=PADDING, **IMPATIENT) as emitter:
        refuses(small)
        losses.for_longer_than_the_application_tries()
        for backend in (small.jaeger, small.elasticsearch):
            backend.start()
        emitter.go_on(ROUNDS)
        found = outcome(emitter, small)
    assert uncounted(found) <= 0
    assert found.doubled == 0
    assert found.lost > 0


def restarted_on_a_full_disk(stack: Stack, disk: Path, *, room_first: bool) -> tuple[Outcome, str]:
    """Fill the disk while spans wait, kill the Collector, start it; return also what it logs."""
    stack.jaeger.stop()
    filler = disk / "filler"
    with Emitter(stack.collector.otlp_http, padding=PADDING, **IMPATIENT) as emitter:
        emitter.go_on(ROUNDS)
        eventually("something waits", lambda: stack.collector.waiting() > 0)
        fill(filler)
        refuses(stack)
        stack.collector.kill()
        if room_first:
            filler.unlink()
        begin = stack.collector.log.stat().st_size

        def log() -> str:
            return stack.collector.log.read_text()[begin:]

        stack.collector.start()
        filler.unlink(missing_ok=True)
        stack.jaeger.start()
        emitter.go_on(ROUNDS)
        found = outcome(emitter, stack, unless=lambda: SILENT in log())
    return found, log()


def test_disk_that_others_have_filled_keeps_what_is_on_it(small: Stack, disk: Path) -> None:
    """Nothing that was taken is lost, when there is room again before the Collector starts."""
    found, _ = restarted_on_a_full_disk(small, disk, room_first=True)
    assert found.doubled == 0
    assert found.lost >= 0
    assert uncounted(found) <= 0


def test_start_on_a_full_disk_may_lose_what_waits(small: Stack, disk: Path) -> None:
    """What cannot be kept: an item that cannot be marked as being sent is dropped, said only so."""
    small.collector.variables["ETL_LOG_LEVEL"] = "debug"
    found, log = restarted_on_a_full_disk(small, disk, room_first=False)
    assert found.doubled == 0
    assert uncounted(found) <= 0 or SILENT in log, log[-5_000:]


def outcome(
    emitter: Emitter,
    stack: Stack,
    *,
    unless: Callable[[], bool] = lambda: False,
) -> Outcome:
    """End the application and return what arrived, as soon as all that it did not count is there.

    Counted items may have arrived too, where only the answer got lost; never the reverse.
    `unless` tells that it will not be there. What the queues say of their sizes is of no use: what
    could not be written counts as waiting, and after a start on a full disk what waits may not.
    """
    emitted = emitter.end()

    def found() -> Outcome:
        return Outcome(emitted.rounds, emitted.drops, emitter.arrived(stack))

    with suppress(TimeoutError):
        eventually(
            "what is not counted arrives",
            lambda: uncounted(found()) <= 0 or unless(),
            timeout=SLOWLY,
        )
    return found()


def uncounted(found: Outcome) -> int:
    """Return how many items more are lost than the application counted."""
    return found.lost - sum(found.drops.values())


def fill(path: Path) -> None:
    """Write a file until there is no room for another byte."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 512):
            pass
