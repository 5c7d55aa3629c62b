"""How a delivery ended whose greenlet was killed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from billiard.exceptions import Terminated
from celery.worker import state
from celery.worker.request import Request

from etl_telemetry.catalogue import TaskStatus
from etl_telemetry.celery import terminated
from etl_telemetry.celery.outcomes import killed


class GreenletExit(BaseException):
    """What greenlet raises in a greenlet that is killed, by its name."""


def test_a_killed_greenlet_is_lost_and_one_that_was_terminated_is_revoked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was only revoked ran on; another exit is none of both."""
    monkeypatch.setattr(state, "revoked", {"t1", "t2"})
    monkeypatch.setattr(Request, "terminate", lambda *_: None)
    undo = terminated.wrap()
    Request.terminate(SimpleNamespace(id="t1"), None)
    undo()
    exit_ = GreenletExit()
    assert killed(exit_, "t2") == (TaskStatus.LOST, exit_)
    status, error = killed(exit_, "t1") or (None, None)
    assert (status, type(error), str(error)) == (TaskStatus.REVOKED, Terminated, "it was revoked")
    assert (killed(SystemExit(1), "t1"), killed(None, "t1")) == (None, None)
