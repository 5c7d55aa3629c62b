"""Events survive the death of any process, and arrive as one document each."""

from __future__ import annotations

import json
import sys
from collections import Counter

from support.django_project import Project, fresh, project

__all__ = ["fresh", "project"]

BEGIN = """
import os, signal
import django
django.setup()
"""
SIGN_IN = (
    BEGIN
    + """
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from etl_telemetry import span

User.objects.create_superuser("ann", password="right")
with span("request"):
    Client(headers={"user-agent": "Mozilla"}).login(username="ann", password="right")
try:
    with transaction.atomic():
        User.objects.create_superuser("bob")
        raise RuntimeError
except RuntimeError:
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""
)
DRAIN_AND_DIE = (
    BEGIN
    + """
from etl_telemetry import setup
from etl_telemetry.django.audit.drain import Drainer

def deliver_and_die():
    assert setup.active().force_flush()
    os.kill(os.getpid(), signal.SIGKILL)

Drainer(flush=deliver_and_die).drain("default")
"""
)
ROWS = (
    BEGIN
    + """
import json
from etl_telemetry.django.models import AuditRow
print(json.dumps(list(AuditRow.objects.order_by("id").values("uid", "name", "trace_id", "block"))))
"""
)


def rows(project: Project) -> list[dict[str, object]]:
    """Return what is in the table."""
    done = project.run(sys.executable, "-c", ROWS)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_nothing_is_lost_and_nothing_is_doubled(project: Project) -> None:
    """A writer and a drainer are killed at the worst moment; the next drainer makes it right."""
    project.append("shop/settings.py", "ALLOWED_HOSTS = ['testserver']\n")
    assert project.manage("migrate").returncode == 0
    assert project.run(sys.executable, "-c", SIGN_IN).returncode == -9
    written = rows(project)
    assert [row["name"] for row in written] == ["permission_changed", "user_login"]
    assert project.query.logs(logger="etl_telemetry.audit") == []

    assert project.run(sys.executable, "-c", DRAIN_AND_DIE).returncode == -9
    done = project.manage("audit_drain", "--once")
    # The lease of the one that died is still held.
    assert "another process drains it" in done.stdout
    freed = project.manage("shell", "-c", FREE)
    assert freed.returncode == 0, freed.stderr
    done = project.manage("audit_drain", "--once")
    assert (done.returncode, done.stdout) == (
        0, "default: 0 events chained, 2 exported, 0 blocks wait\n",
    ), done.stderr  # fmt: skip
    arrived = project.query.logs(logger="etl_telemetry.audit")
    uids = Counter(record.attributes["log.record.uid"] for record in arrived)
    assert uids == {row["uid"]: 2 for row in written}
    sign_in = next(record for record in arrived if record.body == "user_login")
    assert sign_in.trace_id == written[1]["trace_id"] != ""
    assert sign_in.attributes["audit.actor"] == "1"
    verified = project.manage("audit_verify")
    assert verified.stdout == (
        "2 events in 1 blocks: nothing was altered, inserted or removed\n"
    ), verified.stderr


FREE = """
from etl_telemetry.django.models import AuditChain
AuditChain.objects.update(held_until_us=0)
"""


def test_nobody_to_deliver_to(project: Project) -> None:
    """Without a Collector the events wait, and the command says so."""
    assert project.manage("migrate").returncode == 0
    project.run(sys.executable, "-c", SIGN_IN)
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "ETL_TELEMETRY_DEADLINE": "1"}
    done = project.manage("audit_drain", "--once", **nowhere)
    assert done.returncode == 1
    assert "2 events chained, 0 exported, 1 blocks wait" in done.stdout
    assert "CommandError: not everything was delivered" in done.stderr
    assert project.manage("audit_drain", "--once").returncode == 0
    assert len(project.query.logs(logger="etl_telemetry.audit")) == 2


ASKED_TWICE = (
    BEGIN
    + """
from django.core.management import call_command
from etl_telemetry.django.audit.drain import Drainer

passes = []
def drain_all(self):
    passes.append(None)
    if len(passes) == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return []
def release(self):
    os.kill(os.getpid(), signal.SIGTERM)
    print("released after", len(passes), "passes")
Drainer.drain_all, Drainer.release = drain_all, release
call_command("audit_drain", interval=3600)
"""
)


def test_it_looks_once_more_and_gives_its_lease_back_however_often_it_is_asked(
    project: Project,
) -> None:
    """SIGTERM ends its pause; a second one, while it gives the lease back, changes nothing."""
    done = project.run(sys.executable, "-c", ASKED_TWICE)
    assert (done.returncode, done.stdout) == (0, "released after 2 passes\n"), done.stderr


def test_before_the_migration(project: Project) -> None:
    """New code on the old schema: the command says what to do, and the checks stay silent."""
    done = project.manage("audit_drain", "--once")
    assert done.returncode == 1
    assert "no database has the audit table: run manage.py migrate" in done.stderr
    assert project.manage("check").returncode == 0


WRONG = """
ETL_TELEMETRY = {"AUDIT_MODELS": ["auth.Usr"]}
"""
SAID = (
    "audit_models must name models of this project, got 'auth.Usr' (from AUDIT_MODELS); "
    "did you mean 'auth.User'?"
)


def test_a_model_that_does_not_exist(project: Project) -> None:
    """A process that serves stops, `migrate` goes on, and `check` warns."""
    project.append("shop/settings.py", WRONG)
    served = project.manage("runserver", "--noreload", "0")
    assert (served.returncode, SAID in served.stderr) == (1, True), served.stderr
    migrated = project.manage("migrate")
    assert migrated.returncode == 0, migrated.stderr
    checked = project.manage("check")
    assert (checked.returncode, SAID in checked.stderr) == (0, True), checked.stderr
