"""Measure what the spans of queries cost a request of Django, beside OpenTelemetry's own set-up.

CPU time of a process, the threads that export included, for one request with ten queries on
SQLite. Each set-up has a process of its own; they take turns, so that a busy machine slows all
of them. Written to docs/benchmarks/queries.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks" / "queries.json"
ROUNDS, REQUESTS, QUERIES = 3, 100, 10
HOST = """
import sys, time
from pathlib import Path
from threading import Thread
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

def view(request):
    from django.contrib.auth.models import Group
    for number in range({queries}):
        Group.objects.filter(name=f"group {{number}}").values_list("pk").first()
    return HttpResponse("done")

urlpatterns = [path("view/", view)]
settings.configure(
    SECRET_KEY="bench", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "bench.sqlite3"}}}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    LOGGING={{"version": 1, "disable_existing_loggers": False}},
)
{setup}
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
client = Client()
for _ in range(20):
    assert client.get("/view/").status_code == 200
begin = time.process_time()
for _ in range({requests}):
    client.get("/view/")
{flush}
print((time.process_time() - begin) / {requests} * 1e6)
"""
OURS = """
from etl_telemetry import setup_telemetry
telemetry = setup_telemetry(
    service_name="bench", logs_exporter="none", metric_interval=3600.0
)
from etl_telemetry.setup import lifecycle
lifecycle()._current.get().spans._export = lambda batch: bool(encode_spans(batch))
"""
ENCODE = """
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
"""
COUNTED = """
from etl_telemetry.django.database.watch import Watch
Watch._wants_span = lambda *_: False
"""
STOCK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
class Encoding:
    def export(self, spans):
        encode_spans(spans)
        return SpanExportResult.SUCCESS
    def shutdown(self):
        pass
    def force_flush(self, timeout_millis=0):
        return True
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(BatchSpanProcessor(Encoding()))
trace.set_tracer_provider(provider)
from opentelemetry.instrumentation.django import DjangoInstrumentor
DjangoInstrumentor().instrument()
"""
DRIVER = """
import sqlite3
from django.db.backends.sqlite3.base import Database
from opentelemetry.instrumentation import dbapi
# As OpenTelemetry's instrumentor of sqlite3 does it, where Django takes the driver from.
dbapi.wrap_connect("bench", Database, "connect", "sqlite", {}, tracer_provider=provider)
"""
SETUPS = {
    "bare": ("", ""),
    "ours, queries counted only": (ENCODE + OURS + COUNTED, "telemetry.force_flush()"),
    "ours": (ENCODE + OURS, "telemetry.force_flush()"),
    "stock, without queries": (ENCODE + STOCK, "provider.force_flush()"),
    "stock": (ENCODE + STOCK + DRIVER, "provider.force_flush()"),
}


def once(name: str, folder: str) -> float:
    """Return the CPU time of a request in microseconds, in a new process."""
    setup, flush = SETUPS[name]
    script = HOST.format(queries=QUERIES, requests=REQUESTS, setup=setup, flush=flush)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print and write."""
    found: dict[str, list[float]] = {name: [] for name in SETUPS}
    with tempfile.TemporaryDirectory(prefix="etl-bench-") as folder:
        for _ in range(ROUNDS):
            for name, told in found.items():
                told.append(once(name, folder))
    cost = {name: statistics.median(told) for name, told in found.items()}
    of_spans = {
        "ours": cost["ours"] - cost["ours, queries counted only"],
        "stock": cost["stock"] - cost["stock, without queries"],
    }
    report = {
        "command": "nox -s bench -- queries",
        "python": sys.version.split()[0],
        "queries": QUERIES,
        "requests": ROUNDS * REQUESTS,
        "results": {
            "cpu_us_a_request": {name: round(value) for name, value in cost.items()},
            "cpu_us_a_query_span": {name: round(v / QUERIES, 1) for name, v in of_spans.items()},
        },
        "ratio_of_query_spans": round(of_spans["ours"] / of_spans["stock"], 2),
    }
    TARGET.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
