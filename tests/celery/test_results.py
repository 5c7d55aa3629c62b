"""What a result backend does makes no spans; what it calls of the application's does."""

from __future__ import annotations

from collections.abc import Iterator

import celery
import pytest
from celery.backends.base import Backend
from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table
from etl_telemetry.logs.aloud import SPANS_ONLY

Told = list[tuple[str, bool, bool]]
"""What was done, whether it would make spans, and whether its records leave all the same."""


class Own(Backend):
    """One like django-celery-results, which publishes the body of a chord by itself."""

    told: Told

    def tell(self, what: str) -> None:
        """Remember what is done now."""
        is_aloud = context.get_value(_SUPPRESS_INSTRUMENTATION_KEY) == SPANS_ONLY
        self.told.append((what, is_instrumentation_enabled(), is_aloud))

    def _store_result(self, *_: object, **__: object) -> None:
        self.tell("store")

    def on_chord_part_return(self, *_: object, **__: object) -> None:
        """Count, publish, run a body that is a chord, and an errback."""
        self.tell("count")
        self.app.send_task("body")
        celery.chord([], self.app.signature("end")).run()
        self.chord_error_from_stack("body")

    def chord_error_from_stack(self, *_: object, **__: object) -> None:
        """Run what the application gave us, then store that it failed."""
        self.tell("errback")
        self.store_result("1", 1, "FAILURE")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    before = dict(vars(Own)), dict(vars(Backend)), celery.Celery.send_task, celery.chord.run
    yield
    table.uninstrument()
    assert (
        dict(vars(Own)), dict(vars(Backend)), celery.Celery.send_task, celery.chord.run,
    ) == before  # fmt: skip


def use(monkeypatch: pytest.MonkeyPatch, config: Config) -> Told:
    """Store a result, and end the last task of a chord's header."""
    monkeypatch.setattr(celery.chord, "run", lambda _: backend.tell("body"))
    table.instrument(config)
    app = celery.Celery("jobs", set_as_current=False)
    backend = Own(app=app)
    backend.told = []
    monkeypatch.setattr(app.amqp, "send_task_message", lambda *_, **__: backend.tell("publish"))
    backend.store_result("1", 1, "SUCCESS")
    backend.on_chord_part_return(None, None, None)
    return backend.told


def test_only_the_backends_own_work_makes_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records leave; what it calls of the application's is as if no backend was around it."""
    silent, ordinary = (False, True), (True, False)
    assert use(monkeypatch, Config(instrumentations=("celery",))) == [
        ("store", *silent), ("count", *silent), ("publish", *ordinary), ("body", *ordinary),
        ("errback", *ordinary), ("store", *silent),
    ]  # fmt: skip


def test_broker_commands_leaves_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch: then all of it is as the application's own."""
    config = Config(instrumentations=("celery",), broker_commands=True)
    assert {told[1:] for told in use(monkeypatch, config)} == {(True, False)}
