"""Another OpenTelemetry set-up was there first: no span twice, and the host is told once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.celery_worker import Received, received

__all__ = ["received"]

WORK = """
import logging, sys
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")
logging.getLogger("opentelemetry").setLevel("ERROR")
{before}
from etl_telemetry.setup import setup_telemetry
telemetry = setup_telemetry(service_name="shop", instrumentations=("requests",))
setup_telemetry()
import requests
with requests.Session() as session:
    session.trust_env = False
    session.get("{url}/nothing-here")
telemetry.shutdown(10)
{after}
"""
OWN_CALL = """
from opentelemetry.instrumentation.requests import RequestsInstrumentor
RequestsInstrumentor().instrument()
"""
OWN_PROVIDER = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
"""


def run(script: str, received: Received, *command: str) -> Counter[str]:
    """Run a script in a process of its own; count the lines that it prints."""
    done = subprocess.run(
        [*command, sys.executable, "-c", script],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint},
        cwd=received.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Counter(done.stdout.splitlines())


@pytest.mark.parametrize(
    ("command", "before"),
    [
        ((str(Path(sys.executable).with_name("opentelemetry-instrument")),), ""),
        (
            (),
            OWN_CALL,
        ),
    ],
    ids=["opentelemetry-instrument", "the application's own call"],
)
def test_a_library_that_was_instrumented_first_makes_one_span(
    command: tuple[str, ...], before: str, received: Received
) -> None:
    """The first wrapper stays the only one, and its spans are exported by us."""
    script = WORK.format(before=before, after="", url=received.endpoint)
    printed = run(script, received, *command)
    assert [span.name for span in received.query.spans(service="shop")] == ["GET"]
    assert printed["instrumentation_already_active"] == 1


def test_a_provider_that_was_set_first_stays_and_gets_the_spans(received: Received) -> None:
    """Our instrumentation writes through the provider that is there: one span, theirs."""
    script = WORK.format(before=OWN_PROVIDER, after="provider.shutdown()", url=received.endpoint)
    printed = run(script, received)
    assert [(span.service, span.name) for span in received.query.spans()] == [("theirs", "GET")]
    assert printed["telemetry_set_up_elsewhere"] == 1
