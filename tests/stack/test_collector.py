"""The Collector handed everything on: nothing refused, nothing failed, nothing rejected."""

from __future__ import annotations

from typing import Any

PROCESSED = "otelcol_elasticsearch_docs_processed"
"""Documents by what became of each: the exporter itself says only how a request ended."""
TROUBLE = ("warn", "error", "fatal", "panic")


def test_collector_logs_no_trouble(proof: Any) -> None:
    """No line of its own log, which is not sampled here, is a warning or worse."""
    lines = proof.stack.collector.log.read_text().splitlines()
    assert any("Everything is ready" in line for line in lines)
    assert [line for line in lines if line.partition("\t")[2].startswith(TROUBLE)] == []


def test_collector_sent_to_every_backend(proof: Any) -> None:
    """Its own metrics say that each exporter delivered, and that no item failed on the way."""
    samples = proof.stack.collector.ask.samples()
    bad = {
        name: sample
        for name, found in samples.items()
        for sample in found
        if any(word in name for word in ("_failed", "_refused")) and sample.value
    }
    assert bad == {}
    assert {each.labels["outcome"] for each in samples[PROCESSED] if each.value} == {"success"}
    sent = {
        sample.labels["exporter"]
        for name, found in samples.items()
        if name.startswith("otelcol_exporter_sent_")
        for sample in found
        if sample.value
    }
    assert sent >= {
        "otlp_http/prometheus", "elasticsearch/logs", "elasticsearch/audit", "otlp_http/jaeger",
    }  # fmt: skip
