"""Logs of real processes: workers, Django, forks, exits; each record once at the receiver."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.records import LogRecord
from etl_telemetry.viewer.store import Store

TIMEOUT = 120


@dataclass(frozen=True)
class Outside:
    """A receiver, and processes that send to it."""

    address: str
    query: Query

    def start(self, script: str, *args: str, service: str) -> subprocess.Popen[str]:
        """Start a Python script that exports its logs only."""
        environ = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.address,
            "OTEL_SERVICE_NAME": service,
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        }
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *args],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, *args: str, service: str) -> str:
        """Run a script to its end; return what it printed."""
        return finish(self.start(script, *args, service=service))

    def logs(self, service: str) -> list[LogRecord]:
        """Return what arrived from one process."""
        return self.query.logs(service=service)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a good end; return what was printed."""
    try:
        printed, _ = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == 0, printed
    return printed


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Run one receiver for all tests; their services keep them apart."""
    path = tmp_path_factory.mktemp("store") / "telemetry.db"
    with Store(path) as store, Receiver(store) as receiver:
        yield Outside(receiver.address, Query(store.path))


# --- Celery -------------------------------------------------------------------

WORKER = """
    import logging, logging.config, sys
    from celery import Celery, signals
    from celery.utils.log import get_task_logger
    from celery.worker import state
    from etl_telemetry import log_context, logging_config, setup_telemetry

    order, hijack, receiver = sys.argv[1:]
    app = Celery("app", broker="memory://", backend="cache+memory://")
    app.conf.worker_hijack_root_logger = hijack == "hijack"

    def configure(**_):
        logging.config.dictConfig(logging_config(levels={"root": "INFO"}))

    if receiver == "receiver":
        signals.setup_logging.connect(configure, weak=False)
    if order == "before":
        configure()
    setup_telemetry()
    if order == "after":
        configure()

    @app.task(name="app.load")
    def load(address):
        silo = logging.getLogger("silo")
        silo.propagate = False
        silo.addHandler(logging.StreamHandler())
        with log_context(tenant="AA"):
            logging.getLogger("apps.load").warning("line of a module")
            get_task_logger("apps.tasks").warning("line of a task logger")
            silo.warning("line of a silo")
            print("line of a print")
        return address

    @signals.worker_ready.connect
    def ready(**_):
        load.delay("ann@example.com")

    @signals.task_postrun.connect
    def done(**_):
        state.should_stop = 0

    app.worker_main(["worker", "--pool=solo", "--loglevel=INFO", "--without-gossip",
                     "--without-mingle", "--without-heartbeat"])
"""
LINES = ("line of a module", "line of a task logger", "line of a silo")
VARIANTS = [
    ("none", "hijack", "no receiver"),
    ("none", "no hijack", "no receiver"),
    ("before", "hijack", "no receiver"),
    ("before", "no hijack", "no receiver"),
    ("after", "hijack", "receiver"),
    ("none", "no hijack", "receiver"),
]


@pytest.fixture(scope="module")
def workers(outside: Outside) -> Mapping[tuple[str, ...], str]:
    """Run one worker per variant, side by side; return what each printed."""
    running = {
        variant: outside.start(WORKER, *variant, service=" ".join(variant)) for variant in VARIANTS
    }
    try:
        return {variant: finish(process) for variant, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("variant", VARIANTS, ids=", ".join)
def test_a_worker_logs_each_record_once(
    outside: Outside, workers: Mapping[tuple[str, ...], str], variant: tuple[str, ...]
) -> None:
    """Configured before or after set-up or in `setup_logging`, Celery's hijack on and off."""
    printed = workers[variant]
    assert {line: printed.count(line) for line in LINES} == dict.fromkeys(LINES, 1), printed
    logs = outside.logs(" ".join(variant))
    bodies = [record.body for record in logs]
    assert {line: bodies.count(line) for line in LINES} == dict.fromkeys(LINES, 1)
    inside = [record.attributes["tenant"] for record in logs if record.body in LINES]
    assert inside == ["AA", "AA", "AA"]
    # What a worker prints becomes a record only where Celery redirects standard output.
    assert bodies.count("line of a print") == (variant[2] == "no receiver")


def test_a_workers_records_hold_no_task_arguments(
    outside: Outside, workers: Mapping[tuple[str, ...], str]
) -> None:
    """Celery puts arguments and results into `data` and into its messages (trap 20)."""
    logs = outside.logs(" ".join(VARIANTS[0]))
    assert "ann@example.com" not in repr(logs)
    (received,) = [record for record in logs if str(record.body).endswith("received")]
    assert set(received.attributes["data"]) == {"id", "name", "eta"}  # type: ignore[arg-type]
    (succeeded,) = [record for record in logs if "succeeded in" in str(record.body)]
    assert str(succeeded.body).endswith(": <not recorded>")
    assert set(succeeded.attributes["data"]) == {"id", "name", "runtime"}  # type: ignore[arg-type]


# --- Django -------------------------------------------------------------------

DJANGO = """
    import sys
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path
    from etl_telemetry import logging_config

    settings.configure(
        SECRET_KEY="x",
        DEBUG=True,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[],
        LOGGING=logging_config(environment="production", levels={"django": "DEBUG"}),
    )

    def fail(request):
        raise ValueError("no rows")

    def query(request):
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute("SELECT 'ann@example.com', %s", ["bob@example.com"])
        return HttpResponse("ok")

    urlpatterns = [path("fail", fail), path("query", query)]
    import django
    django.setup()
    from etl_telemetry import setup_telemetry
    setup_telemetry()
    from django.test import Client
    client = Client(raise_request_exception=False)
    for place in ("missing", "fail", "query"):
        client.get(f"/{place}?token=hunter2")
"""


def test_django_logs_once_and_leaks_neither_query_nor_values(outside: Outside) -> None:
    """The request, the SQL and its parameters are extras of Django's own records (trap 20)."""
    printed = outside.run(DJANGO, service="django")
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    console = [line["message"] for line in lines if line["logger"].startswith("django.request")]
    logs = outside.logs("django")
    arrived = [one for one in logs if one.scope.name.startswith("django.request")]
    expected = ["Not Found: /missing", "Internal Server Error: /fail"]
    assert console == [one.body for one in arrived] == expected
    shown = arrived[0].attributes
    assert (shown["http.request.method"], shown["url.path"], shown["status_code"]) == (
        "GET", "/missing", 404,
    )  # fmt: skip
    (sql,) = [one for one in logs if one.scope.name == "django.db.backends"]
    assert sql.attributes["sql"] == "SELECT ?, ?"
    assert re.fullmatch(r"\(\d+\.\d{3}\) SELECT \?, \?; alias=default", str(sql.body))
    for leak in ("hunter2", "bob@example.com", "ann@example.com"):
        assert leak not in printed
        assert leak not in repr(logs)


# --- Other distributions, forks, exits ----------------------------------------


def test_the_logging_instrumentation_of_another_distribution_is_not_doubled(
    outside: Outside,
) -> None:
    """Where its handler is active, ours stands aside and says so."""
    outside.run(
        """
        import logging
        from opentelemetry.instrumentation.logging import LoggingInstrumentor
        from etl_telemetry import setup_telemetry
        LoggingInstrumentor().instrument()
        setup_telemetry()
        logging.getLogger("app").warning("once")
        """,
        service="instrumentor",
    )
    bodies = [record.body for record in outside.logs("instrumentor")]
    assert bodies.count("once") == 1
    assert bodies.count("log_bridge_not_attached") == 1


def test_forked_children_log_while_the_parent_logs(outside: Outside) -> None:
    """No child hangs on anything that a thread of the parent held, and nothing is sent twice."""
    printed = outside.run(
        """
        import logging, os, threading
        from etl_telemetry import setup_telemetry
        telemetry = setup_telemetry()
        logging.getLogger().setLevel(logging.INFO)
        stop = threading.Event()

        def chatter():
            while not stop.is_set():
                logging.getLogger("parent").info("noise %s", "x" * 100, extra={"a": {"b": 1}})

        threads = [threading.Thread(target=chatter) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(20):
            pid = os.fork()
            if pid == 0:
                logging.getLogger("child").info("child %d", number)
                os._exit(0 if telemetry.force_flush(30) else 3)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, number
        stop.set()
        for thread in threads:
            thread.join()
        print("all children ended")
        """,
        service="forks",
    )
    assert "all children ended" in printed
    children = [r.body for r in outside.logs("forks") if r.scope.name == "child"]
    assert sorted(children) == sorted(f"child {number}" for number in range(20))  # type: ignore[type-var]


def test_what_is_logged_last_arrives_and_the_end_is_quiet(outside: Outside) -> None:
    """Records of exit handlers are sent, and no handler starts a thread at shutdown (3.12)."""
    printed = outside.run(
        """
        import atexit, logging
        from etl_telemetry import setup_telemetry
        setup_telemetry()
        atexit.register(logging.getLogger("app").warning, "at exit")
        logging.getLogger("app").warning("at the end")
        """,
        service="end",
    )
    assert printed == "at the end\nat exit\n"
    assert [record.body for record in outside.logs("end")] == ["at the end", "at exit"]


def test_files_of_a_project_hold_each_record_once(outside: Outside, tmp_path: Path) -> None:
    """`logging_config(directory=...)` and the bridge beside each other, in two processes."""
    script = """
        import logging, logging.config, sys
        from etl_telemetry import logging_config, setup_telemetry
        logging.config.dictConfig(logging_config(environment="production", directory=sys.argv[1]))
        setup_telemetry()
        for number in range(200):
            logging.getLogger("apps.load").error("row", extra={"number": number})
        logging.getLogger("audit").info("user_login")
    """
    running = [outside.start(script, str(tmp_path), service=f"files{n}") for n in range(2)]
    for process in running:
        finish(process)

    def written(name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]

    numbers = sorted(list(range(200)) * 2)
    assert sorted(line["number"] for line in written("application.log")) == numbers  # type: ignore[type-var]
    assert sorted(line["number"] for line in written("errors.log")) == numbers  # type: ignore[type-var]
    assert [line["message"] for line in written("audit.log")] == ["user_login"] * 2
    assert len(outside.logs("files0")) == len(outside.logs("files1")) == 201
    assert {line["service"] for line in written("application.log")} == {"files0", "files1"}
