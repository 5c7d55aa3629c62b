"""Measure what telemetry costs the start of a process, beside OpenTelemetry's own set-up.

CPU time of a new process until it can work. Stock is the SDK with its OTLP exporters and every
instrumentor that is installed, as `opentelemetry-instrument` finds them. The set-ups take turns,
so that a busy machine slows all of them. Written to docs/benchmarks/start.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks" / "start.json"
ROUNDS = 11
APPLICATION = """
import celery.bin.worker
from django.conf import settings
settings.configure(
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
)
{setup}
import django
django.setup()
app = celery.Celery("bench", broker="memory://")
app.amqp, app.backend
"""
HOSTS = {
    "a script": "{setup}",
    "Django and Celery": APPLICATION,
    "Django and Celery with Redis and PostgreSQL": (
        APPLICATION + "import celery.backends.redis, kombu.transport.redis, psycopg\n"
    ),
}
OURS = """
from etl_telemetry import setup_telemetry
setup_telemetry(service_name="bench")
"""
STOCK = """
from importlib.metadata import entry_points
from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
traces, logs = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
reader = PeriodicExportingMetricReader(OTLPMetricExporter())
trace.set_tracer_provider(traces)
_logs.set_logger_provider(logs)
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
for entry in entry_points(group="opentelemetry_instrumentor"):
    entry.load()().instrument()
"""
SETUPS = {"bare": "", "ours": OURS, "stock": STOCK}
END = """
import os, time
print(time.process_time(), flush=True)
os._exit(0)
"""


def once(host: str, setup: str) -> float:
    """Return the CPU time of a start in milliseconds."""
    script = HOSTS[host].format(setup=SETUPS[setup]) + END
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1]) * 1e3


def measure(host: str) -> dict[str, float]:
    """Return the median of each set-up, and what ours adds for each millisecond of stock's."""
    found: dict[str, list[float]] = {setup: [] for setup in SETUPS}
    for setup in SETUPS:
        once(host, setup)  # Compiles, and fills the cache of the file system.
    for _ in range(ROUNDS):
        for setup, told in found.items():
            told.append(once(host, setup))
    cost = {f"{setup}_ms": round(statistics.median(told)) for setup, told in found.items()}
    added = {setup: cost[f"{setup}_ms"] - cost["bare_ms"] for setup in ("ours", "stock")}
    return {**cost, "ratio_of_what_is_added": round(added["ours"] / added["stock"], 2)}


def main() -> None:
    """Measure, print and write."""
    report = {
        "command": "nox -s bench -- start",
        "python": sys.version.split()[0],
        "starts": ROUNDS,
        "results": {host: measure(host) for host in HOSTS},
    }
    TARGET.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
