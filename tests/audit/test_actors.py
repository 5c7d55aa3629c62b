"""Who acts: named by a block, carried by a message, or told by a provider."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry import audit
from etl_telemetry.audit import Acting, AuditEvent
from etl_telemetry.errors import AuditError
from support.events import kept
from support.hostile import anything
from support.patience import PATIENT
from support.process import receiving, run

THING = {"type": "thing", "id": 1}


@pytest.fixture(autouse=True)
def _nobody() -> Iterator[None]:
    """Leave no provider and no store behind."""
    yield
    audit.set_actor_provider(None)
    audit.set_tenant_provider(None)
    audit.set_store(None)
    audit.set_showing(False)


def recorded() -> tuple[object, object]:
    """Record an event; return its actor and its tenant."""
    with kept("etl_telemetry.audit", logging.INFO) as events:
        audit.record("done", resource=THING)
    return events[0].fields["audit.actor"], events[0].fields.get("audit.organization")


def test_a_block_names_who_acts() -> None:
    """Inside only; what an inner block leaves out stays."""
    with audit.acting(7, organization="acme"):
        with audit.acting("boss"):
            assert recorded() == ("boss", "acme")
        assert recorded() == ("7", "acme")
    assert recorded() == ("unknown", None)


def test_a_block_wins_over_the_providers() -> None:
    """Who acts for somebody is named by the application, which knows better."""
    audit.set_actor_provider(lambda: 9)
    audit.set_tenant_provider(lambda: "globex")
    assert recorded() == ("9", "globex")
    with audit.acting(7):
        assert recorded() == ("7", "globex")


def test_tasks_of_asyncio_do_not_see_each_other() -> None:
    """Each has its own."""

    async def act(name: str) -> object:
        with audit.acting(name):
            await asyncio.sleep(0)
            return audit.carried()

    async def both() -> list[object]:
        return list(await asyncio.gather(act("a"), act("b")))

    assert asyncio.run(both()) == [Acting("a"), Acting("b")]
    assert copy_context().run(audit.carried) is None


def test_a_message_carries_what_needs_no_look_up() -> None:
    """The provider that may ask a database is not asked for a message."""
    audit.set_actor_provider(lambda: 1 / 0, loaded=lambda: 9)
    audit.set_tenant_provider(lambda: "acme")
    assert audit.carried() == Acting("9", "acme")
    with pytest.raises(AuditError, match=r"^the actor provider failed with ZeroDivisionError"):
        recorded()


@PATIENT
@given(
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=1_000),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=1_000),
)
def test_a_header_says_what_was_given(actor: str | None, organization: str | None) -> None:
    """Any text survives the way through a message."""
    who = Acting(actor, organization)
    assert Acting.from_header(who.to_header()) == who


@PATIENT
@given(anything() | st.text())
def test_any_header_is_read(header: object) -> None:
    """What nobody of us wrote names nobody, and never raises."""
    found = Acting.from_header(header)
    assert found is None or isinstance(found, Acting)


@pytest.mark.parametrize("header", ['{"v": 2, "actor": "7"}', "[]", "", '{"actor": "7"}', None])
def test_headers_of_other_versions_are_ignored(header: object) -> None:
    """A newer release may be running beside this one."""
    assert Acting.from_header(header) is None


@pytest.mark.parametrize("provider", ["ann", 3])
def test_a_tenant_provider_must_be_a_function(provider: object) -> None:
    """A wrong provider is refused where it is set."""
    with pytest.raises(TypeError, match=r"^a tenant provider must be a function or None, got "):
        audit.set_tenant_provider(provider)  # type: ignore[arg-type]


class Shelf:
    """A store in memory."""

    def __init__(self, *, open_: bool = True) -> None:
        self.open = open_
        self.events: list[AuditEvent] = []

    def has_place(self) -> bool:
        """Tell whether it is open."""
        return self.open

    def keep(self, event: AuditEvent) -> bool:
        """Keep an event."""
        if self.open:
            self.events.append(event)
        return self.open


def test_a_store_keeps_what_the_logger_would_get() -> None:
    """The event goes to one place: the store, or the logger where the store has no place."""
    shelf = Shelf()
    audit.set_store(shelf)
    with kept("etl_telemetry.audit", logging.INFO) as events:
        audit.record("done", actor=7, resource=THING, details={"password": "x"})
        assert events == []
        shelf.open = False
        audit.record("done", resource=THING)
    assert shelf.events == [
        AuditEvent("done", "7", None, "thing", "1", "success", {"password": "REDACTED"})
    ]
    assert [event.name for event in events] == ["done"]
    shelf.open = True
    assert audit.has_place()


SCRIPT = """
from etl_telemetry import audit, setup_telemetry

telemetry = setup_telemetry(**{options})
audit.record("done", actor=7, resource={{"type": "thing", "id": 1}})
"""


def test_the_log_bridge_is_a_place() -> None:
    """`setup_telemetry()` alone is enough, as the error says; without the bridge it is not."""
    with receiving() as (receiver, query):
        done = run(SCRIPT.format(options={}), receiver.address)
        assert done.returncode == 0, done.stderr
        refused = run(SCRIPT.format(options={"log_bridge": False}), receiver.address)
        assert [record.body for record in query.logs(logger="etl_telemetry.audit")] == ["done"]
    assert "AuditError: no audit event can be written: no handler keeps" in refused.stderr
