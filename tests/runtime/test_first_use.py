"""What the first use of telemetry does in a process: build, but never import."""

from __future__ import annotations

import pytest

from support.process import receiving, run

# Django, Celery and requests are kept away: they would import much of what is needed by chance.
_FIRST_USE = """
    import logging, sys
    from etl_telemetry import pipeline_run, setup_telemetry, span, step

    telemetry = setup_telemetry(service_name="first", instrumentations=())
    before = set(sys.modules)
    logging.getLogger("application").warning("a record")
    with pipeline_run("daily", organization="acme"), step("extract") as rows:
        rows.add_rows(read=1, written=1)
    try:
        with span("failing"):
            raise ValueError("a message")
    except ValueError:
        pass
    telemetry.force_flush(10)
    telemetry.shutdown(5)
    print("imported:", sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize(
    "variables",
    [{}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"OTEL_METRICS_EXPORTER": "console"}],
    ids=["http", "grpc", "console"],
)
def test_first_use_imports_nothing(variables: dict[str, str]) -> None:
    """A fork while another thread imports leaves the lock held, and the child would hang."""
    with receiving() as (receiver, _):
        done = run(_FIRST_USE, receiver.address, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1:] == ["imported: []"]
