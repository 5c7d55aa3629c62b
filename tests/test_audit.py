"""Audit events: what is written, and that what cannot be written raises."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from opentelemetry import trace

from etl_telemetry import audit, guard, pipelines
from etl_telemetry.catalogue import AUDIT_EVENTS, AUDIT_FIELDS
from etl_telemetry.errors import AuditError
from support.events import Event, kept
from support.hostile import BrokenMapping, anything
from support.telemetry import telemetry

PIPELINE = {"type": "pipeline", "id": 42}


@pytest.fixture
def events() -> Iterator[list[Event]]:
    """Give audit events a place."""
    with kept("etl_telemetry.audit", logging.INFO) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_actor_provider() -> Iterator[None]:
    """Leave no actor provider behind."""
    yield
    audit.set_actor_provider(None)


def written(**fields: object) -> dict[str, object]:
    """Return the fields of an event about the pipeline."""
    return {
        "audit.actor": "unknown", "audit.resource.type": "pipeline", "audit.resource.id": "42",
        "audit.outcome": "success", "audit.details": {}, **fields,
    }  # fmt: skip


def test_a_whole_event(events: list[Event]) -> None:
    """Name, actor, tenant, resource, outcome and details arrive, in the trace of the action."""
    telemetry()
    with trace.get_tracer("t").start_as_current_span("POST /pipelines") as span:
        audit.record(
            "pipeline_updated",
            actor=7,
            organization="acme",
            resource=PIPELINE,
            outcome="failure",
            details={"before": {"name": "a"}, "after": {"name": "b", "rows": 3}},
        )
    assert events == [
        Event(
            "pipeline_updated", "INFO",
            written(**{
                "audit.actor": "7", "audit.organization": "acme", "audit.outcome": "failure",
                "audit.details": {"before": {"name": "a"}, "after": {"name": "b", "rows": 3}},
            }),
        )
    ]  # fmt: skip
    assert set(events[0].fields) == set(AUDIT_FIELDS)
    assert events[0].trace_id == span.get_span_context().trace_id


def test_the_least_that_an_event_needs(events: list[Event]) -> None:
    """A name and a resource make an event; who did it is unknown then."""
    audit.record("pipeline_updated", resource=PIPELINE)
    assert events == [Event("pipeline_updated", "INFO", written())]


def test_record_names_the_applications_line(caplog: pytest.LogCaptureFixture) -> None:
    """Module and function of the log record are the caller's."""
    caplog.set_level(logging.INFO, "etl_telemetry.audit")
    audit.record("pipeline_updated", resource=PIPELINE)
    (record,) = caplog.records
    assert (record.name, record.module, record.funcName) == (
        "etl_telemetry.audit", "test_audit", "test_record_names_the_applications_line",
    )  # fmt: skip


@pytest.mark.parametrize("name", [*AUDIT_EVENTS, "report_downloaded", "a", "step2_done"])
def test_known_and_own_names(events: list[Event], name: str) -> None:
    """Names of the catalogue and any other snake_case name are events."""
    audit.record(name, resource=PIPELINE)
    assert [event.name for event in events] == [name]


def test_secrets_are_hidden(events: list[Event]) -> None:
    """Values under names that look like secrets do not leave, at any depth."""
    audit.record(
        "connector_updated",
        resource={"type": "connector", "id": "c1"},
        details={"after": {"password": "hunter2", "host": "db"}, "api_key": "k"},
    )
    assert events[0].fields["audit.details"] == {
        "after": {"password": "REDACTED", "host": "db"}, "api_key": "REDACTED",
    }  # fmt: skip


def test_details_are_a_copy(events: list[Event]) -> None:
    """What the application changes later does not change the event."""
    details: dict[str, object] = {"rows": 1}
    audit.record("pipeline_updated", resource=PIPELINE, details=details)
    details["rows"] = 2
    assert events[0].fields["audit.details"] == {"rows": 1}


class Kind(Enum):
    PIPELINE = "pipeline"


def test_ids_are_text_numbers_uuids_and_choices(events: list[Event]) -> None:
    """Whatever names something becomes its text."""
    audit.record("a", actor=UUID(int=1), resource={"type": Kind.PIPELINE, "id": "x"})
    assert events[0].fields == written(
        **{"audit.actor": str(UUID(int=1)), "audit.resource.id": "x"}
    )


def test_the_actor_provider_is_asked(events: list[Event]) -> None:
    """Without an actor the provider names one; a named actor wins; nobody is unknown."""
    audit.set_actor_provider(lambda: 9)
    audit.record("a", resource=PIPELINE)
    audit.record("a", resource=PIPELINE, actor="boss")
    audit.set_actor_provider(lambda: None)
    audit.record("a", resource=PIPELINE)
    assert [event.fields["audit.actor"] for event in events] == ["9", "boss", "unknown"]


def test_the_tenant_is_that_of_the_run(events: list[Event]) -> None:
    """Inside of a run the organization need not be named."""
    with pipelines.begin_run("daily", organization="acme"):
        audit.record("a", resource=PIPELINE)
        audit.record("a", resource=PIPELINE, organization="other")
    named = [event for event in events if event.name == "a"]
    assert [event.fields["audit.organization"] for event in named] == ["acme", "other"]


def raised(**arguments: Any) -> str:
    """Return the message of the error that a call raises."""
    with pytest.raises(AuditError) as caught:
        audit.record(**{"event_type": "pipeline_updated", "resource": PIPELINE, **arguments})
    return str(caught.value)


NAME = (
    "the name of an audit event must be snake_case of at most 100 characters, such as "
    "'pipeline_updated', got "
)
RESOURCE = (
    "the resource of an audit event must be a mapping with 'type' and 'id', such as "
    "{'type': 'pipeline', 'id': 42}, got "
)
OUTCOME = "the outcome of an audit event must be one of success, failure, unknown, got "
ID = "of an audit event must be text, a whole number or a UUID, and not empty, got "


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"event_type": "Pipeline Updated"}, NAME + "'Pipeline Updated'"),
        ({"event_type": ""}, NAME + "''"),
        ({"event_type": "a_"}, NAME + "'a_'"),
        ({"event_type": "x" * 101}, NAME + "text of 101 characters"),
        ({"event_type": None}, NAME + "None"),
        ({"event_type": 3}, NAME + "a value of type int"),
        ({"resource": "pipeline"}, RESOURCE + "'pipeline'"),
        ({"resource": {"type": "pipeline"}}, RESOURCE + "a value of type dict"),
        ({"resource": {"type": "", "id": 1}}, f"the type of the resource {ID}''"),
        ({"resource": {"type": "a", "id": None}}, f"the id of the resource {ID}None"),
        (
            {"resource": {"type": "a", "id": 1.5}},
            f"the id of the resource {ID}a value of type float",
        ),
        ({"outcome": "ok"}, OUTCOME + "'ok'"),
        ({"outcome": None}, OUTCOME + "None"),
        ({"actor": b"7"}, f"the actor {ID}a value of type bytes"),
        ({"actor": True}, f"the actor {ID}a value of type bool"),
        ({"organization": ""}, f"the organization {ID}''"),
        (
            {"details": [1]},
            "the details of an audit event must be a mapping, got a value of type list",
        ),
    ],
)
def test_what_makes_no_event_raises(
    events: list[Event], arguments: dict[str, Any], message: str
) -> None:
    """A wrong argument is told, without its personal data, and nothing is written."""
    assert raised(**arguments) == message
    assert events == []


def test_unreadable_details_raise(events: list[Event]) -> None:
    """Details that cannot be read are not silently left out."""
    assert raised(details=BrokenMapping()) == (
        "an argument of the audit event 'pipeline_updated' could not be read: OSError"
    )
    assert events == []


def test_a_failing_actor_provider_raises(events: list[Event]) -> None:
    """An action by nobody knows whom must not pass as one by nobody."""

    def provider() -> object:
        raise LookupError("session gone")

    audit.set_actor_provider(provider)
    assert raised() == (
        "the actor provider failed with LookupError: name the actor of the audit event, or mend "
        "the function given to set_actor_provider()"
    )
    assert events == []


def test_an_actor_provider_must_be_a_function() -> None:
    """A wrong provider is refused where it is set."""
    with pytest.raises(
        TypeError, match=r"^an actor provider must be a function or None, got 'ann'$"
    ):
        audit.set_actor_provider("ann")  # type: ignore[arg-type]


NO_HANDLER = (
    "no audit event can be written: no handler keeps what 'etl_telemetry.audit' logs at level "
    "INFO. Use etl_telemetry.logging_config() as LOGGING, which gives it a file, call "
    "setup_telemetry(), or add a handler to that logger"
)
NO_LEVEL = (
    "no audit event can be written: the logger 'etl_telemetry.audit' does not take level INFO. "
    "Set its level to INFO and disable_existing_loggers to False in LOGGING, and let "
    "nothing call logging.disable()"
)


@contextmanager
def lonely() -> Iterator[logging.Logger]:
    """Cut the audit logger off from the root. No fixture: pytest would give it handlers again."""
    logger = logging.getLogger("etl_telemetry.audit")
    before = logger.propagate, logger.level, logger.handlers[:]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        yield logger
    finally:
        logger.propagate, logger.handlers[:] = before[0], before[2]
        logger.setLevel(before[1])


def test_no_handler_raises() -> None:
    """Without a place to write, the action must not happen."""
    with lonely():
        assert not audit.has_place()
        assert raised() == NO_HANDLER


@pytest.mark.parametrize(
    ("handler", "level"), [(logging.NullHandler(), 0), (logging.StreamHandler(), logging.ERROR)]
)
def test_handlers_that_keep_nothing_are_no_place(handler: logging.Handler, level: int) -> None:
    """A handler that throws the event away does not count."""
    handler.setLevel(level)
    with lonely() as logger:
        logger.addHandler(handler)
        assert not audit.has_place()
        assert raised() == NO_HANDLER


def test_a_disabled_logger_raises(events: list[Event]) -> None:
    """A logger that is switched off keeps nothing either."""
    logging.disable(logging.INFO)
    try:
        assert not audit.has_place()
        assert raised() == NO_LEVEL
    finally:
        logging.disable(logging.NOTSET)
    logging.getLogger("etl_telemetry.audit").setLevel(logging.WARNING)
    assert raised() == NO_LEVEL
    logging.getLogger("etl_telemetry.audit").setLevel(logging.INFO)
    assert audit.has_place()


def test_a_handler_of_a_parent_is_a_place() -> None:
    """Events go up to the root where the logger propagates."""
    with lonely() as logger:
        logger.propagate = True
        assert audit.has_place()


def test_runs_without_a_place_are_not_audited() -> None:
    """A run is no audited action: without a place it runs all the same."""
    guard.reset_after_fork()
    with lonely(), pipelines.pipeline_run("daily", organization="acme"):
        pass
    assert guard.drops() == {}


@settings(max_examples=200, deadline=None)
@given(anything(), anything(), anything(), anything())
def test_anything_is_written_or_raises_audit_error(a: Any, b: Any, c: Any, d: Any) -> None:
    """No argument raises anything but `AuditError`, and no half event is written."""
    with kept("etl_telemetry.audit", logging.INFO) as events:
        for arguments in (
            {"event_type": a, "resource": b},
            {"actor": a, "organization": b, "details": c},
            {"resource": {"type": a, "id": b}, "outcome": d},
        ):
            before = len(events)
            try:
                audit.record(**{"event_type": "a", "resource": PIPELINE, **arguments})
            except AuditError:
                assert len(events) == before
            else:
                assert len(events) == before + 1
        audit.record("pipeline_updated", resource=PIPELINE)
        assert events[-1] == Event("pipeline_updated", "INFO", written())
