"""Every change of an audited model is an event in its transaction, or it is refused."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from audit_fixtures import Kept, forget, kept
from django.core import serializers
from django.db import IntegrityError, connections, transaction
from django.db.models import F
from django.db.models.signals import pre_save
from shop.models import Connector, Daily, Leaf, Node, Note, Organization, Pipeline, Special

from etl_telemetry.django.models import AuditRow
from etl_telemetry.errors import AuditError

HIDDEN = "REDACTED"


def pipeline(**fields: Any) -> Pipeline:
    """Make a pipeline whose creation is forgotten."""
    made = Pipeline.objects.create(**{"name": "daily", **fields})
    forget()
    return made


def updated(
    one: Pipeline, before: dict[str, object], after: dict[str, object], **more: Any
) -> Kept:
    """Return the event of an update."""
    told = {"before": before, "after": after}
    return Kept("pipeline_updated", ("pipeline", str(one.pk)), told, **more)


def test_a_created_row() -> None:
    """All fields are told, with the tenant behind a relation."""
    acme = Organization.objects.create(code="acme")
    made = Pipeline.objects.create(name="daily", organization=acme)
    assert kept() == [
        Kept(
            "pipeline_created",
            ("pipeline", str(made.pk)),
            {
                "after": {
                    "id": made.pk, "organization_id": acme.pk, "connector_id": None,
                    "name": "daily", "priority": 0, "changed_at": None,
                }
            },
            organization="acme",
        )
    ]  # fmt: skip


def test_an_updated_row_tells_what_changed() -> None:
    """Changed fields only, as the database had and has them, not as the instance says."""
    one = pipeline()
    Pipeline.objects.filter(pk=one.pk).update(priority=4)
    forget()
    one.name = "nightly"
    one.priority = F("priority") + 1
    one.changed_at = datetime(2026, 1, 2, tzinfo=UTC)
    one.save()
    assert kept() == [
        updated(
            one,
            {"name": "daily", "priority": 4, "changed_at": None},
            {"name": "nightly", "priority": 5, "changed_at": "2026-01-02 00:00:00+00:00"},
        )
    ]


def test_a_save_that_changes_nothing_is_no_event() -> None:
    """The same values again are no change."""
    pipeline().save()
    assert kept() == []


def test_update_fields_are_respected() -> None:
    """What is not written did not change."""
    one = pipeline()
    one.name, one.priority = "nightly", 9
    one.save(update_fields=["name"])
    assert kept() == [updated(one, {"name": "daily"}, {"name": "nightly"})]


def test_a_deleted_row_tells_what_it_was() -> None:
    """The last values of a row are kept."""
    one = pipeline()
    key = one.pk
    one.delete()
    (event,) = kept()
    assert (event.name, event.resource) == ("pipeline_deleted", ("pipeline", str(key)))
    assert event.details["before"]["name"] == "daily"


def test_secrets_are_hidden() -> None:
    """By name and by setting: that they changed is told, their values are not."""
    acme = Organization.objects.create(code="acme")
    one = Connector.objects.create(organization=acme, name="db", credentials={"user": "a"})
    forget()
    one.credentials, one.options = {"user": "hunter2"}, {"secret-ish": "hunter2"}
    one.save()
    (event,) = kept()
    assert event.details == {
        "before": {"credentials": HIDDEN, "options": HIDDEN},
        "after": {"credentials": HIDDEN, "options": HIDDEN},
    }
    assert "hunter2" not in AuditRow.objects.get().details


def test_update_of_a_query_set() -> None:
    """One event for each row that changed, none for the others."""
    ones = [pipeline(name=name) for name in ("a", "b", "c")]
    ones[2].priority = 5
    ones[2].save()
    forget()
    assert Pipeline.objects.filter(name__in=["a", "c"]).update(priority=5) == 2
    assert kept() == [updated(ones[0], {"priority": 0}, {"priority": 5})]


def test_update_that_changes_what_the_query_finds() -> None:
    """The rows are remembered by their keys."""
    one = pipeline(name="a")
    assert Pipeline.objects.filter(name="a").update(name="b") == 1
    assert kept() == [updated(one, {"name": "a"}, {"name": "b"})]


def test_bulk_update() -> None:
    """`bulk_update()` is `update()`."""
    ones = [pipeline(name=name) for name in ("a", "b")]
    for one in ones:
        one.priority = one.pk
    Pipeline.objects.bulk_update(ones, ["priority"])
    assert kept() == [updated(one, {"priority": 0}, {"priority": one.pk}) for one in ones]


def test_bulk_create() -> None:
    """One event for each row, with its key."""
    made = Pipeline.objects.bulk_create([Pipeline(name="a"), Pipeline(name="b")])
    assert [(e.name, e.resource[1], e.details["after"]["name"]) for e in kept()] == [
        ("pipeline_created", str(one.pk), one.name) for one in made
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"ignore_conflicts": True},
        {"update_conflicts": True, "update_fields": ["name"], "unique_fields": ["key"]},
    ],
    ids=["ignore", "update"],
)
def test_bulk_create_with_conflicts_is_refused(options: dict[str, Any]) -> None:
    """What cannot be told is not done, and the error says what to do."""
    with pytest.raises(AuditError) as caught:
        Special.objects.bulk_create([Special(key=uuid.uuid4(), name="a")], **options)
    assert str(caught.value) == (
        "bulk_create() of shop.Special with ignore_conflicts or update_conflicts cannot be "
        "audited: which rows it changes cannot be told. Save them one by one, or take the model "
        "out of AUDIT_MODELS"
    )
    assert not Special.objects.exists()


def test_update_of_keys_is_refused() -> None:
    """A row that gets another key cannot be followed: nothing is changed."""
    one = Special.objects.create(key=uuid.uuid4(), name="a")
    with pytest.raises(AuditError, match="changes their primary key"):
        Special.objects.update(key=uuid.uuid4())
    assert Special.objects.get() == one


def test_delete_of_a_query_set() -> None:
    """One event for each row."""
    ones = [pipeline(name=name) for name in ("a", "b")]
    Pipeline.objects.all().delete()
    assert sorted((e.name, e.resource[1]) for e in kept()) == [
        ("pipeline_deleted", str(one.pk)) for one in ones
    ]


def test_delete_of_rows_that_django_would_not_read() -> None:
    """Nothing refers to these, so Django would delete them without looking at them."""
    made = [Special.objects.create(key=uuid.uuid4(), name=name) for name in ("a", "b", "c")]
    forget()
    made[0].delete()
    Special.objects.all().delete()
    assert sorted(event.details["before"]["name"] for event in kept()) == ["a", "b", "c"]


def test_cascades() -> None:
    """What a deletion takes along, and what it sets to NULL, is told too."""
    acme = Organization.objects.create(code="acme")
    connector = Connector.objects.create(organization=acme, name="db")
    key = connector.pk
    one = pipeline(connector=connector)
    acme.delete()
    assert {(e.name, e.resource) for e in kept()} == {
        ("connector_deleted", ("connector", str(key))),
        ("pipeline_updated", ("pipeline", str(one.pk))),
    }


def test_asynchronous_variants() -> None:
    """`acreate`, `asave`, `aupdate`, `abulk_create`, `adelete` are the same."""

    async def act() -> None:
        one = await Pipeline.objects.acreate(name="a")
        one.name = "b"
        await one.asave()
        await Pipeline.objects.filter(pk=one.pk).aupdate(name="c")
        await Pipeline.objects.abulk_create([Pipeline(name="d")])
        await Pipeline.objects.all().adelete()

    asyncio.run(act())
    assert [event.name.removeprefix("pipeline_") for event in kept()] == [
        "created", "updated", "updated", "created", "deleted", "deleted",
    ]  # fmt: skip


def test_proxies_and_children() -> None:
    """A proxy is its model; a child has its own name, and the fields of its parent."""
    Daily.objects.create(name="a")
    leaf = Leaf.objects.create(name="a", color="red")
    Leaf.objects.filter(pk=leaf.pk).update(name="b", color="blue")
    events = kept()
    assert [event.name for event in events] == ["pipeline_created", "leaf_created", "leaf_updated"]
    assert events[2].details == {
        "before": {"name": "a", "color": "red"}, "after": {"name": "b", "color": "blue"},
    }  # fmt: skip
    forget()
    Node.objects.all().delete()
    assert {event.name for event in kept()} == {"leaf_deleted", "node_deleted"}


def test_related_managers() -> None:
    """`add` of a foreign key's other side is an update."""
    acme = Organization.objects.create(code="acme")
    one = pipeline()
    acme.pipeline_set.add(one)
    assert kept() == [
        updated(one, {"organization_id": None}, {"organization_id": acme.pk}, organization="acme")
    ]


def test_fixtures() -> None:
    """What `loaddata` writes calls no `save()`, and is told all the same."""
    one = pipeline()
    text = serializers.serialize("json", [one]).replace("daily", "nightly")
    for found in serializers.deserialize("json", text):
        found.save()
    assert kept() == [updated(one, {"name": "daily"}, {"name": "nightly"})]


def test_other_models_cost_and_tell_nothing() -> None:
    """A model that is not listed is written as before."""
    Note.objects.create(text="a")
    Note.objects.update(text="b")
    Note.objects.all().delete()
    assert kept() == []


@pytest.mark.parametrize("act", ["save", "update", "bulk_create", "delete"])
def test_a_rollback_leaves_no_event(act: str) -> None:
    """The event is in the transaction of its change."""
    one = pipeline()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        if act == "save":
            Pipeline(pk=one.pk, name="b").save()
        elif act == "update":
            Pipeline.objects.update(name="b")
        elif act == "bulk_create":
            Pipeline.objects.bulk_create([Pipeline(name="b")])
        else:
            one.delete()
        assert len(kept()) == 1
        raise ZeroDivisionError
    assert kept() == []
    assert list(Pipeline.objects.values_list("name", flat=True)) == ["daily"]


@pytest.mark.parametrize("act", ["save", "update", "bulk_create", "delete"])
def test_no_event_no_change(act: str) -> None:
    """A change whose event cannot be written does not happen, in autocommit mode too."""
    one = pipeline()
    with connections["default"].schema_editor() as editor:
        editor.alter_db_table(AuditRow, "etl_telemetry_auditrow", "away")
    try:
        with pytest.raises(AuditError) as caught:
            if act == "save":
                Pipeline(pk=one.pk, name="b").save()
            elif act == "update":
                Pipeline.objects.update(name="b")
            elif act == "bulk_create":
                Pipeline.objects.bulk_create([Pipeline(name="b")])
            else:
                Pipeline.objects.get().delete()
    finally:
        with connections["default"].schema_editor() as editor:
            editor.alter_db_table(AuditRow, "away", "etl_telemetry_auditrow")
    assert "could not be written to the database 'default'" in str(caught.value)
    assert list(Pipeline.objects.values_list("name", flat=True)) == ["daily"]


def test_errors_of_the_application_leave_its_transaction_usable() -> None:
    """A save that fails in a signal is caught inside of a transaction, as without us."""

    def refuse(**_: object) -> None:
        raise ValueError("refused")

    one = pipeline()
    pre_save.connect(refuse, sender=Pipeline)
    try:
        with transaction.atomic():
            with pytest.raises(ValueError, match="refused"):
                one.save()
            Note.objects.create(text="goes on")
    finally:
        pre_save.disconnect(refuse, sender=Pipeline)
    assert Note.objects.count() == 1


def test_a_refused_row_is_no_event() -> None:
    """An error of the database passes, and nothing is kept."""
    Special.objects.create(key=uuid.uuid4(), name="a")
    forget()
    with pytest.raises(IntegrityError):
        Special.objects.create(key=uuid.uuid4(), name="a")
    assert kept() == []


def test_the_event_is_where_its_row_is() -> None:
    """A change in another database is told there, in the same transaction."""
    Special.objects.using("second").create(key=uuid.uuid4(), name="a")
    assert (len(kept("second")), len(kept())) == (1, 0)
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="second"):
        Special.objects.using("second").update(name="b")
        raise ZeroDivisionError
    assert len(kept("second")) == 1
