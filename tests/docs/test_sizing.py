"""The sizing page is what its script makes of what was measured."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from support.pages import REPOSITORY

sys.path.append(str(REPOSITORY / "docs" / "_ext"))

import sizing
import sizing_page

FACTS = sizing.Facts(
    collector={
        "figures": [
            {
                "path": path,
                "signal": signal,
                "bytes_per_item": 100,
                "stored_bytes_per_item": 50,
                "processes": {
                    name: {"items_per_cpu_second": 1_000}
                    for name in ("collector", "agent", "gateway", "elasticsearch", "jaeger")
                },
            }
            for path in ("single-node", "kafka")
            for signal in sizing.SIGNALS
        ]
    },
    volume={
        "runs": 10,
        "spans": 600,
        "log_records": 300,
        "error_records": 20,
        "audit_events": 30,
    },
    demo={"cores": 1, "results": {"runs": 10, "seconds": 60}},
    gateway={},
)
"""160 runs a minute on a host, 60 spans and 30 records a run (2 errors, 3 audit events), 1,000
items in a CPU second."""


def test_page_is_what_the_script_makes() -> None:
    """Nobody edits it by hand, and no measurement changes without it."""
    assert sizing_page.PAGE.read_text() == sizing_page.page(sizing_page.read()), (
        "run: python docs/_ext/sizing_page.py"
    )


def test_sizes_follow_from_their_formulas() -> None:
    """With round numbers a reader can check each in his head."""
    prometheus, otlp = sizing.of_a_pipeline()
    found = sizing.size(FACTS, 1_600)
    points = 10 * 2_000 * otlp / 60
    items = 1_600 + 800 + points
    assert found == sizing.Size(
        hosts=10,
        pipelines=2_000,
        series=10 * 2_000 * prometheus,
        rates={"traces": 1_600, "logs": 800, "metrics": points},
        single_node_cores=pytest.approx(items / 1_000 / 0.5),
        agent_cores=pytest.approx(items / 1_000 / 0.5 / 10),
        gateway_cores=pytest.approx(items / 1_000 / 0.5),
        gateways=-(-items // 2_000),
        partitions=max(12, 2 * -(-items // 2_000)),
        elasticsearch_cores=pytest.approx(1.6),
        jaeger_cores=pytest.approx(3.2),
        bytes_a_second=pytest.approx(100 * items),
        queue=pytest.approx(100 * items * 4 * 3600),
        largest_queue=pytest.approx(100 * points * 4 * 3600),
        kafka=pytest.approx(50 * items * 86_400),
        records_stored=pytest.approx(1_600 / 60 * 50 * 86_400 * (25 * 30 + 2 * 90 + 3 * 400)),
        shards=7,
    )


def test_records_are_kept_as_long_as_their_templates_say() -> None:
    """The days that the page states are those of Elasticsearch's templates."""
    folder = REPOSITORY / "collector" / "elasticsearch" / "index-templates"
    for kind in ("logs", "errors", "audit"):
        body = json.loads((folder / f"etl-{kind}.json").read_text())
        days = sizing.STATED[f"{kind}_kept"].value
        assert body["template"]["lifecycle"]["data_retention"] == f"{days:g}d"


def test_half_the_speed_is_twice_the_cores() -> None:
    """What is computed follows what is measured."""
    slower = replace(FACTS, volume={**FACTS.volume, "spans": 1_200, "log_records": 600})
    assert sizing.size(slower, 60).elasticsearch_cores == pytest.approx(
        2 * sizing.size(FACTS, 60).elasticsearch_cores
    )
