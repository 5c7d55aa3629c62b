"""A Collector that is down is told once a minute, not with every batch."""

from __future__ import annotations

from support.process import run

_REFUSED = """
    import logging
    from etl_telemetry import setup_telemetry, span

    logging.basicConfig(format="%(name)s")
    telemetry = setup_telemetry(instrumentations=())
    for _ in range(2):
        with span("lost"):
            logging.getLogger("app").error("lost")
        telemetry.force_flush(0.2)
"""


def test_exporters_log_one_record_a_minute() -> None:
    """A failing batch writes four by itself (trap 26)."""
    done = run(_REFUSED, "http://127.0.0.1:9")
    said = [line for line in done.stderr.splitlines() if line.startswith("opentelemetry.exporter")]
    assert (done.returncode, len(said)) == (0, 1)
