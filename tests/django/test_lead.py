"""The lock of the observer in the database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from support.django_project import PATIENCE
from support.postgresql import postgresql

__all__ = ["postgresql"]

SCRIPT = """
import json, os, sys, time
from urllib.parse import urlsplit, parse_qs
import django
from django.conf import settings
url = urlsplit(sys.argv[1])
host = parse_qs(url.query).get("host", [url.hostname])[0]
settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
    "PASSWORD": url.password or "", "HOST": host, "PORT": url.port or "",
}})
django.setup()
from etl_telemetry.django import lead
lead._TTL = float(sys.argv[2])
mine = lead.PostgresLead("default", "shop observer")
for line in sys.stdin:
    word, _, stays = line.strip().partition(", ")
    if stays:
        mine._close = lambda: None
    answer = mine.hold() if word == "hold" else mine.release()
    print(json.dumps(answer), flush=True)
"""


class Process:
    """An observer's process that is told when to ask."""

    def __init__(self, url: str, ttl: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, url, str(ttl)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, word: str) -> object:
        """Return what it answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait_for_lead(self) -> None:
        """Ask until it has the lock."""
        end = time.monotonic() + PATIENCE
        while not self.tell("hold"):
            assert time.monotonic() < end
            time.sleep(0.1)


@contextmanager
def two(url: str, ttl: float = 600) -> Iterator[tuple[Process, Process]]:
    """Start two processes."""
    pair = Process(url, ttl), Process(url, ttl)
    try:
        yield pair
    finally:
        for one in pair:
            one.process.kill()
            one.process.communicate()


def test_one_of_two_holds_the_lock_and_the_other_takes_over(postgresql: str) -> None:
    """When it is released, and at once when its process is killed."""
    with two(postgresql) as (first, second):
        assert [one.tell("hold") for one in (first, second, first, second)] == [
            True,
            False,
            True,
            False,
        ]
        first.tell("release")
        assert (second.tell("hold"), first.tell("hold")) == (True, False)
        second.process.kill()
        first.wait_for_lead()


def test_the_lock_is_given_back_before_its_session_has_ended(postgresql: str) -> None:
    """The server ends a session some time after its client: here, not at all."""
    with two(postgresql) as (first, second):
        assert first.tell("hold")
        first.tell("release, and stay")
        assert second.tell("hold")


def test_an_observer_that_hangs_loses_the_lock(postgresql: str) -> None:
    """The server ends its session; when it wakes up, it finds the other one."""
    with two(postgresql, ttl=1) as (first, second):
        assert first.tell("hold")
        os.kill(first.process.pid, signal.SIGSTOP)
        second.wait_for_lead()
        os.kill(first.process.pid, signal.SIGCONT)
        # The second one asks all the time, or it would lose its session as well.
        assert (second.tell("hold"), first.tell("hold")) == (True, False)


def test_a_session_that_is_gone_is_opened_again(postgresql: str) -> None:
    """By the same call, since the lock went with it."""
    with two(postgresql, ttl=1) as (first, _):
        assert first.tell("hold")
        time.sleep(2)
        assert first.tell("hold")
