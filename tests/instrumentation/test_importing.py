"""What a process never uses it does not import; what it imports later is instrumented then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from etl_telemetry.instrumentation.importing import when_imported

TESTS = Path(__file__).parent.parent
SET_UP = """
import json, sys
from etl_telemetry import setup_telemetry
setup_telemetry(traces_exporter="none", metrics_exporter="none", logs_exporter="none")
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code where nothing is imported yet; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={"PYTHONPATH": f"{TESTS}:{folder}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def in_a_new_process(script: str, folder: Path) -> object:
    """Run Python code where nothing is imported yet; return the JSON that it prints."""
    return json.loads(run(script, folder).stdout)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that nobody has imported."""
    name = f"of_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text("done = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_it_acts_once_when_the_module_is_there(module: str) -> None:
    """Not before, with the whole module, and not at the next import."""
    when_imported(module, lambda: sys.modules[module].done.append("here"))
    assert module not in sys.modules
    first, second = __import__(module), __import__(module)
    assert (first.done, second.done) == (["here"], ["here"])


def test_what_goes_wrong_does_not_reach_the_import(module: str) -> None:
    """The host's import works, and what waits behind the failure acts as well."""
    when_imported(module, lambda: 1 / 0)
    when_imported(module, lambda: sys.modules[module].done.append("after"))
    assert __import__(module).done == ["after"]


def test_an_import_that_is_forgotten_is_not_followed(module: str) -> None:
    """The undo of what has not come yet."""
    when_imported(module, lambda: sys.modules[module].done.append("never"))()
    assert __import__(module).done == []


def test_setting_up_imports_nothing_that_the_process_does_not_use(tmp_path: Path) -> None:
    """Each of them takes a tenth of a second and more, in every process of a platform."""
    names = ["django", "celery", "kombu", "redis", "psycopg", "psycopg2"]
    script = f"{SET_UP}print(json.dumps([name for name in {names} if name in sys.modules]))"
    assert in_a_new_process(script, tmp_path) == []


def test_a_process_that_publishes_imports_neither_beat_nor_the_worker_program(
    tmp_path: Path,
) -> None:
    """They are imported where they run."""
    of_others = ("celery.apps.worker", "celery.beat", "celery.concurrency.prefork")
    script = (
        f"{SET_UP}import celery\nprint(json.dumps([m for m in {of_others} if m in sys.modules]))"
    )
    assert in_a_new_process(script, tmp_path) == []


def test_a_worker_of_another_broker_does_not_import_redis(tmp_path: Path) -> None:
    """Celery's own part of Redis is marked when a Redis URL asks for it."""
    script = f"""{SET_UP}
from celery import Celery
Celery("jobs", broker="memory://", backend="cache+memory://").backend
print(json.dumps("redis" in sys.modules))
"""
    assert in_a_new_process(script, tmp_path) is False


def test_libraries_that_are_imported_after_the_set_up_make_spans(tmp_path: Path) -> None:
    """The order of imports is the application's own affair."""
    script = """
import json
from support.telemetry import telemetry
seen = telemetry()
from etl_telemetry import setup_telemetry, span
setup_telemetry()
import psycopg, psycopg2, redis, requests
from celery import Celery, signals
app = Celery("jobs", broker="memory://")
app.conf.task_always_eager = True
session = requests.Session()
session.trust_env = False

@app.task(name="jobs.add")
def add():
    try:
        redis.Redis(port=1).get("key")
    except redis.ConnectionError:
        pass
    try:
        session.get("http://127.0.0.1:1/")
    except requests.ConnectionError:
        pass

add.delay()
from etl_telemetry.instrumentation import table
places = table.instrument(setup_telemetry().config)
workers = bool(signals.worker_process_init.receivers)
print(json.dumps([sorted(span.name for span in seen.spans()), places, workers]))
"""
    spans = ["GET", "GET", "run/jobs.add"]
    places = ["requests", "psycopg", "psycopg2", "redis", "celery"]
    assert in_a_new_process(script, tmp_path) == [spans, places, True]


def test_no_import_loads_djangos_settings(tmp_path: Path) -> None:
    """Which settings are right is known when the host asks for them; Celery imports Django too."""
    (tmp_path / "shop.py").write_text("raise RuntimeError('not yet')\n")
    script = f"""{SET_UP}
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "shop"
import celery, django
from django.conf import settings
settings.configure(SECRET_KEY="s")
heavy = [name for name in sys.modules if name.startswith("opentelemetry.instrumentation.django")]
print(json.dumps(["django" in sys.modules, settings.SECRET_KEY, heavy]))
"""
    assert in_a_new_process(script, tmp_path) == [True, "s", []]


@pytest.mark.parametrize(
    ("name", "instrumentor"),
    [
        ("celery", "CeleryInstrumentor"),
        ("psycopg", "PsycopgInstrumentor"),
        ("psycopg2", "Psycopg2Instrumentor"),
        ("redis", "RedisInstrumentor"),
    ],
)
def test_an_instrumentor_that_is_used_after_the_set_up_changes_nothing(
    name: str, instrumentor: str, tmp_path: Path
) -> None:
    """It imports its library, which is ours by then: its own call adds no second wrapper."""
    script = f"""{SET_UP}
import logging
logging.basicConfig(stream=sys.stderr, level="WARNING")
from opentelemetry.instrumentation.{name} import {instrumentor}
{instrumentor}().instrument()
from etl_telemetry.instrumentation import table
print(json.dumps({name!r} in table.instrument(setup_telemetry().config)))
"""
    done = run(script, tmp_path)
    assert json.loads(done.stdout) is True
    assert done.stderr == (
        "WARNING:opentelemetry.instrumentation.instrumentor:"
        "Attempting to instrument while already instrumented\n"
    )


def test_setting_up_while_another_thread_imports_instruments_once(tmp_path: Path) -> None:
    """Neither waits for the other for ever, and the library has one wrapper."""
    (tmp_path / "slow.py").write_text("import host\nhost.begun.set()\nhost.asked.wait(60)\n")
    (tmp_path / "host.py").write_text(
        "import threading\n"
        "begun, asked = threading.Event(), threading.Event()\n"
        "made = []\n"
        "class Instrumentor:\n"
        "    is_instrumented_by_opentelemetry = False\n"
        "def instrument(instrumentor, config):\n"
        "    asked.set()\n"
        "    import slow\n"
        "    made.append(1)\n"
        "    return lambda: None\n"
    )
    script = """
import host, json, threading
from etl_telemetry.config import Config
from etl_telemetry.instrumentation import table
table.INSTRUMENTATIONS = (
    table.Instrumentation("slow", "slow", "host:Instrumentor", "x", "host:instrument"),
)
config = Config()
assert table.instrument(config) == []

importer = threading.Thread(target=lambda: __import__("slow"), daemon=True)
importer.start()
assert host.begun.wait(60)
table.instrument(config)
importer.join(60)
assert not importer.is_alive()
print(json.dumps([table.instrument(config), host.made]))
"""
    assert in_a_new_process(script, tmp_path) == [["slow"], [1]]
