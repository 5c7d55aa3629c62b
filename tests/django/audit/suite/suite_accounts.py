"""Sign-ins, passwords, permissions, and who acted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from audit_fixtures import Kept, forget, kept
from django.contrib.auth.models import Group, Permission, User
from django.core.management import BaseCommand, call_command
from django.db import connections
from django.test import AsyncClient, Client
from shop.models import Note, Organization, Pipeline

from etl_telemetry import audit, pipelines
from etl_telemetry.audit import Acting
from etl_telemetry.django.models import AuditRow
from etl_telemetry.errors import AuditError

AGENT = "Mozilla/5.0"
FROM = {"ip_address": "127.0.0.1", "user_agent": AGENT}


@pytest.fixture(autouse=True)
def ann() -> User:
    """Give a user, whose creation is forgotten."""
    made = User.objects.create_user("ann", password="right")
    forget()
    return made


@pytest.fixture
def client() -> Client:
    """Give a browser."""
    return Client(headers={"user-agent": AGENT})


def test_sign_in_and_out(client: Client, ann: User) -> None:
    """Name, address and browser are told."""
    assert client.get("/login?name=ann&password=right").status_code == 200
    assert client.get("/logout").status_code == 200
    client.get("/logout")  # Nobody is signed in: nothing happens.
    assert kept() == [
        Kept(name, ("user", str(ann.pk)), {"username": "ann", **FROM}, actor=str(ann.pk))
        for name in ("user_login", "user_logout")
    ]


def test_a_failed_sign_in(client: Client) -> None:
    """What was entered as the name is told, the password is not."""
    assert client.get("/login?name=mallory&password=guess").status_code == 401
    assert kept() == [
        Kept(
            "user_login_failed", ("user", "mallory"), {"username": "mallory", **FROM},
            outcome="failure",
        )
    ]  # fmt: skip
    assert "guess" not in str(AuditRow.objects.values().get())


def test_a_failed_sign_in_outlives_the_rollback(client: Client) -> None:
    """Who makes the request fail hides no guess: it is kept once, after the rollback."""
    with pytest.raises(RuntimeError):
        client.get("/break?name=mallory")
    assert [(event.name, event.resource) for event in kept()] == [
        ("user_login_failed", ("user", "mallory"))
    ]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.9", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.9", "6.6.6.6, 203.0.113.5, 10.1.1.1", "203.0.113.5"),
        ("203.0.113.7", "6.6.6.6", "203.0.113.7"),
        ("10.0.0.9", "nonsense", "10.0.0.9"),
        ("10.0.0.9", "[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:10.0.0.9", "203.0.113.5:80", "203.0.113.5"),
        ("", "203.0.113.5", None),
    ],
)
def test_the_address_behind_named_proxies(
    client: Client, peer: str, forwarded: str, address: str | None
) -> None:
    """Only what named proxies wrote is believed."""
    client.get(
        "/login?name=ann&password=right", REMOTE_ADDR=peer, headers={"x-forwarded-for": forwarded}
    )
    assert kept()[-1].details.get("ip_address") == address


def test_a_password_is_changed(ann: User) -> None:
    """It is told that it changed, not to what."""
    ann.set_password("new")
    ann.save()
    assert kept() == [Kept("password_changed", ("user", str(ann.pk)), {})]


def test_permissions_of_a_user(ann: User) -> None:
    """Flags, groups and single permissions, from either side."""
    group = Group.objects.create(name="operators")
    permission = Permission.objects.order_by("pk")[0]
    forget()
    User.objects.filter(pk=ann.pk).update(is_staff=True)
    ann.groups.add(group)
    ann.groups.add(group)  # Already there: no change.
    group.user_set.clear()
    ann.user_permissions.set([permission])
    group.permissions.add(permission)
    group.permissions.clear()
    who, what = ("user", str(ann.pk)), ("group", str(group.pk))
    assert kept() == [
        Kept("permission_changed", who,
             {"before": {"is_staff": False}, "after": {"is_staff": True}}),
        Kept("permission_changed", who, {"field": "groups", "added": [str(group.pk)]}),
        Kept("permission_changed", who, {"field": "groups", "removed": [str(group.pk)]}),
        Kept("permission_changed", who,
             {"field": "user_permissions", "added": [str(permission.pk)]}),
        Kept("permission_changed", what, {"field": "permissions", "added": [str(permission.pk)]}),
        Kept("permission_changed", what,
             {"field": "permissions", "removed": [str(permission.pk)]}),
    ]  # fmt: skip


def test_a_new_superuser_and_a_group_that_goes() -> None:
    """Who is born with all permissions, and a group that takes its ones along."""
    root = User.objects.create_superuser("root")
    group = Group.objects.create(name="operators")
    key = group.pk
    group.delete()
    granted = {"is_staff": True, "is_superuser": True}
    assert kept() == [
        Kept("permission_changed", ("user", str(root.pk)), {"after": granted}),
        Kept("group_created", ("group", str(key)), {"after": {"id": key, "name": "operators"}}),
        Kept("group_deleted", ("group", str(key)), {"before": {"id": key, "name": "operators"}}),
    ]


def test_many_to_many_of_a_listed_model(ann: User) -> None:
    """Other many-to-many fields of audited models are updates of them."""
    one = Pipeline.objects.create(name="a")
    forget()
    one.members.add(ann)
    ann.pipelines.remove(one)
    assert kept() == [
        Kept(
            "pipeline_updated", ("pipeline", str(one.pk)), {"field": "members", verb: [str(ann.pk)]}
        )
        for verb in ("added", "removed")
    ]


def test_the_actor_of_a_request(client: Client, ann: User) -> None:
    """The user who is signed in did it; somebody else's request is not hers."""
    client.force_login(ann)
    forget()
    client.get("/create?name=a")
    client.get("/record")
    Client().get("/record")
    assert [(event.name, event.actor) for event in kept()] == [
        ("pipeline_created", str(ann.pk)),
        ("report_downloaded", str(ann.pk)),
        ("report_downloaded", "unknown"),
    ]


def test_the_actor_is_who_is_signed_in_now(client: Client, ann: User) -> None:
    """Django keeps the user that it loaded first; `login` and `logout` put another one there."""
    bob = User.objects.create_user("bob", password="right")
    client.force_login(ann)
    forget()
    assert client.get("/switch?name=bob").content.decode() == str(bob.pk)
    looked = [event for event in kept() if event.name == "looked"]
    assert [event.actor for event in looked] == [str(ann.pk), str(bob.pk), "unknown"]


def test_the_actor_of_an_asynchronous_request(ann: User) -> None:
    """The same under ASGI, from a coroutine through `sync_to_async`."""

    async def act() -> int:
        client = AsyncClient()
        await client.aforce_login(ann)
        return int((await client.get("/async")).status_code)

    assert asyncio.run(act()) == 200
    assert [(event.name, event.actor) for event in kept()][-1] == ("report_downloaded", str(ann.pk))


def test_a_coroutine_cannot_record_itself() -> None:
    """Django allows no query there: the error says how to do it."""

    async def act() -> None:
        await AsyncClient().get("/wrong")

    with pytest.raises(AuditError, match=r"await asgiref\.sync\.sync_to_async\(audit\.record\)"):
        asyncio.run(act())


def test_a_request_that_is_rolled_back(client: Client) -> None:
    """`ATOMIC_REQUESTS`: neither the change nor its event is there."""
    with pytest.raises(RuntimeError):
        client.get("/create?name=a&fail=1")
    assert (kept(), Pipeline.objects.count()) == ([], 0)


def test_acting_for_somebody(client: Client) -> None:
    """A named actor and tenant win, inside of the block."""
    with audit.acting(7, organization="acme"):
        audit.record("a", resource={"type": "t", "id": 1})
        with audit.acting("boss"):
            audit.record("b", resource={"type": "t", "id": 1})
    audit.record("c", resource={"type": "t", "id": 1})
    assert [(event.actor, event.organization) for event in kept()] == [
        ("7", "acme"), ("boss", "acme"), ("unknown", ""),
    ]  # fmt: skip


class _Command(BaseCommand):
    def handle(self, *args: object, **options: object) -> None:
        acme = Organization.objects.create(code="acme")
        Pipeline.objects.create(name="a", organization=acme)
        with audit.acting(organization="globex"):
            audit.record("imported", resource={"type": "t", "id": 1})


def test_the_actor_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs it did it, or who called sudo for it; the tenant is that of the row."""
    monkeypatch.setenv("SUDO_USER", "maria")
    call_command(_Command())
    assert [(event.name, event.actor, event.organization) for event in kept()] == [
        ("pipeline_created", "os:maria", "acme"),
        ("imported", "os:maria", "globex"),
    ]


def test_the_use_of_credentials_is_a_row() -> None:
    """With who triggered the run in which it happened, and written before they are used."""
    with (
        pipelines.begin_run("daily", organization="acme", triggered_by="7", trigger="api") as run,
        pipelines.connector_operation("sql", "read", credentials=42),
    ):
        (used,) = kept()
    assert used == Kept(
        "connector_credentials_used",
        ("connector", "42"),
        {"connector_type": "sql", "operation": "read"},
        actor="7",
        organization="acme",
    )
    started = kept()[1]
    assert started == Kept(
        "pipeline_execution_started",
        ("pipeline_run", run.id),
        {"pipeline_name": "daily", "trigger_type": "api", "triggered_by": "7"},
        actor="7",
        organization="acme",
    )


def test_the_actor_of_a_run() -> None:
    """Without anybody named, who triggered the run did what happens in it."""
    with pipelines.begin_run("daily", organization="acme", triggered_by="7"):
        Pipeline.objects.create(name="a")
    created, started = kept()
    assert (created.actor, created.organization) == ("7", "acme")
    assert (started.name, started.actor) == ("pipeline_execution_started", "7")
    runs = set(AuditRow.objects.values_list("run_id", flat=True))
    assert runs == {started.resource[1]}


def test_passing_the_actor_on_asks_no_database(ann: User) -> None:
    """A message carries the user who is loaded; nobody is looked up for it."""
    assert audit.carried() is None
    with audit.acting(ann.pk):
        assert audit.carried() == Acting(str(ann.pk))


@pytest.fixture
def no_table() -> Iterator[None]:
    """Take the table away, as it is before the migration of a deployment ran."""
    with connections["default"].schema_editor() as editor:
        editor.alter_db_table(AuditRow, "etl_telemetry_auditrow", "away")
    yield
    with connections["default"].schema_editor() as editor:
        editor.alter_db_table(AuditRow, "away", "etl_telemetry_auditrow")


def test_sign_in_before_the_migration(
    client: Client, no_table: None, caplog: pytest.LogCaptureFixture
) -> None:
    """New code on the old schema: the sign-in works, and its event is logged as without Django."""
    caplog.set_level(logging.INFO, "etl_telemetry.audit")
    assert client.get("/login?name=ann&password=right").status_code == 200
    Pipeline.objects.create(name="a")
    audit.record("a", resource={"type": "t", "id": 1})
    names = [record.message for record in caplog.records if record.name == "etl_telemetry.audit"]
    assert names == ["user_login", "pipeline_created", "a"]


def test_sign_in_before_the_migration_without_a_place(
    client: Client, no_table: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even a handler: the sign-in works, and the loss is an error in the log."""
    logger = logging.getLogger("etl_telemetry.audit")
    logger.setLevel(logging.CRITICAL)
    try:
        assert client.get("/login?name=ann&password=right").status_code == 200
    finally:
        logger.setLevel(logging.INFO)
    (lost,) = [record for record in caplog.records if record.message == "audit_event_not_kept"]
    assert (lost.levelname, vars(lost)["audit.event"]) == ("ERROR", "user_login")


def test_a_broken_transaction_is_not_made_worse() -> None:
    """Recording fails loudly inside of a transaction, which can go on."""
    from django.db import transaction

    with transaction.atomic():
        with pytest.raises(AuditError):
            audit.record("a", resource={"type": "t", "id": object()})  # type: ignore[dict-item]
        Note.objects.create(text="goes on")
    assert Note.objects.count() == 1
