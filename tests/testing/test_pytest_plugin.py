"""The fixture `telemetry` in pytest processes of projects that look like a user's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store
from support.user_tests import assert_passed, run_tests

SHOP = """
    import logging

    from etl_telemetry import audit, pipeline_run, setup_telemetry, step, traced

    setup_telemetry(service_name="shop")

    @traced
    def parse(text):
        return int(text)

    def load(text="3"):
        with pipeline_run("orders", organization="acme", run_id="r1"):
            with step("extract") as rows:
                count = parse(text)
                rows.add_rows(read=count, written=count)
            logging.getLogger("shop").warning("loaded", extra={"rows": count})
            audit.record("orders_loaded", actor=7, resource={"type": "shop", "id": 4})
"""
WHOLE_VALUES = """
    from etl_telemetry.testing import AuditEvent, Event, HistogramValue, LogRecord, Span
    import pytest
    from shop import load

    RUN = {
        "pipeline.name": "orders", "pipeline.organization": "acme", "pipeline.run.id": "r1",
    }

    def test_success(telemetry):
        load()
        assert telemetry.spans.tree() == "pipeline run orders\\n  step extract\\n    shop.parse"
        assert telemetry.spans.named("step extract") == Span(
            "step extract",
            attributes={
                **RUN, "step.type": "extract", "step.rows.read": 3, "step.rows.processed": 3,
            },
        )
        assert telemetry.logs.named("loaded") == LogRecord(
            "loaded", severity="WARN", logger="shop", attributes={**RUN, "rows": 3}
        )
        assert telemetry.logs.named("loaded").trace_id == telemetry.spans[0].trace_id
        assert telemetry.audit.named("orders_loaded") == AuditEvent(
            "orders_loaded", {"type": "shop", "id": "4"}, actor="7", organization="acme"
        )
        assert telemetry.metrics.named("data.rows.read", by=["step.type"]) == {("extract",): 3}
        assert telemetry.metrics.named("pipeline.executions") == {
            (("organization", "acme"), ("pipeline.name", "orders"), ("status", "success")): 1
        }
        assert telemetry.metrics.named("pipeline.execution.duration", by=["status"]) == {
            ("success",): HistogramValue(count=1)
        }

    def test_failure(telemetry):
        with pytest.raises(ValueError):
            load("three")
        assert telemetry.metrics.named("pipeline.executions", by=["status"]) == {("failed",): 1}
        assert telemetry.spans.named("shop.parse").status == "error"
        (event,) = telemetry.spans.named("shop.parse").events
        assert (event.name, event.attributes["exception.type"]) == ("exception", "ValueError")
        assert "in parse" in event.stacktrace
"""
ISOLATED = """
    import pytest
    from shop import load

    @pytest.mark.parametrize("times", [1, 2, 3, 4])
    def test_begins_empty(telemetry, times):
        assert (telemetry.spans, telemetry.logs, telemetry.audit) == ((), (), ())
        assert set(telemetry.metrics) == {"etl_platform_info"}
        for _ in range(times):
            load()
        assert telemetry.metrics.named("data.rows.read", by=()) == {(): 3 * times}
        assert telemetry.metrics.named("pipeline.executions", by=()) == {(): 1}  # One run id.
        assert len(telemetry.spans.all_named("step extract")) == times

    def test_without_the_fixture():
        load()
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_each_test_sees_its_own_and_nothing_leaves(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Each test begins empty and with sums at zero; a receiver that listens gets nothing."""
    with Store(tmp_path / "received.db") as store, Receiver(store) as receiver:
        done = run_tests(
            tmp_path, *options, endpoint=receiver.address, shop=SHOP, test_shop=ISOLATED
        )
        assert_passed(done, 5)
        assert Query(store.path).services() == []


def test_whole_values_are_compared(tmp_path: Path) -> None:
    """Spans, log records, audit events and metrics equal plain values without ids and times."""
    assert_passed(run_tests(tmp_path, shop=SHOP, test_shop=WHOLE_VALUES), 2)


def test_difference_and_absence_are_readable(tmp_path: Path) -> None:
    """Pytest shows the attribute that differs; asking for what is absent tells what is there."""
    done = run_tests(
        tmp_path,
        "-vv",
        shop=SHOP,
        test_shop="""
        from dataclasses import replace
        from shop import load

        def test_difference(telemetry):
            load()
            loaded = telemetry.logs.named("loaded")
            assert loaded == replace(loaded, severity="INFO")

        def test_absence(telemetry):
            load()
            telemetry.spans.named("step load")
        """,
    )
    assert done.returncode == 1
    assert "Differing attributes:" in done.stdout
    assert "'WARN' != 'INFO'" in done.stdout
    assert (
        "AssertionError: no span is called 'step load'; there are: "
        "'pipeline run orders', 'shop.parse', 'step extract'"
    ) in done.stdout.replace("\nE           ", "")
    assert "sequences.py" not in done.stdout


def test_app_without_set_up_and_after_shutdown_is_captured(tmp_path: Path) -> None:
    """Where nobody called `setup_telemetry()` the fixture does; a shutdown ends one test only."""
    done = run_tests(
        tmp_path,
        test_script="""
        import pytest
        from etl_telemetry import setup_telemetry, span

        @pytest.mark.parametrize("number", [1, 2])
        def test_shutdown(telemetry, number):
            with span("before"):
                pass
            assert setup_telemetry().shutdown()
            with span("after"):
                pass
            assert [s.name for s in telemetry.spans] == ["before"]
        """,
    )
    assert_passed(done, 2)


def test_switched_off_telemetry_says_so(tmp_path: Path) -> None:
    """`enabled=False` is an error of the fixture with its fix, not an empty capture."""
    done = run_tests(
        tmp_path,
        shop=SHOP.replace('service_name="shop"', "enabled=False"),
        test_shop="import shop\ndef test_nothing(telemetry):\n    pass\n",
    )
    assert done.returncode == 1
    assert (
        "CaptureError: telemetry is switched off in this process, so there is nothing to capture: "
        "enabled is False, "
    ) in done.stdout


def test_kit_without_its_plugin_loads_no_pytest() -> None:
    """Pytest is optional: only the plugin imports it, and production imports neither."""
    code = (
        "import sys, etl_telemetry; assert 'etl_telemetry.testing' not in sys.modules;"
        "import etl_telemetry.testing; sys.exit('pytest' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_capture_waits_ends_and_does_not_nest(tmp_path: Path) -> None:
    """`wait_for` tells what there is; an ended capture can be read; a second one is refused."""
    done = run_tests(
        tmp_path,
        test_capture="""
        import logging
        import threading

        import pytest

        from etl_telemetry import metrics, span
        from etl_telemetry.testing import CaptureError, capture

        def work():
            with span("load"):
                pass

        def test_wait(telemetry):
            thread = threading.Timer(0.3, work)
            thread.start()
            assert telemetry.wait_for(lambda: telemetry.spans.all_named("load"))[0].name == "load"
            thread.join()

        def test_wait_in_vain(telemetry):
            work()
            logging.getLogger("shop").warning("loaded")
            with pytest.raises(AssertionError) as error:
                telemetry.wait_for(lambda: telemetry.spans.all_named("x"), deadline=0.1)
            assert str(error.value) == (
                "still () after 0.1 s; spans: 'load'; log records: 'loaded'; "
                "metrics: 'etl_platform_info'"
            )

        def test_nested(telemetry):
            with pytest.raises(CaptureError) as error, capture():
                pass
            assert str(error.value) == "telemetry is captured already: end that capture first"
            work()
            telemetry.spans.named("load")

        def test_ended():
            with capture() as captured:
                work()
            work()
            assert [s.name for s in captured.spans] == ["load"]

        def test_dropped_values_are_of_one_test(telemetry):
            for _ in range(2):
                metrics.record_pipeline_execution("orders", "acme", "no such status", 1.0)
            drops = telemetry.metrics.named("telemetry.drops", by=["reason"])
            assert drops == {("unknown_status",): 2}

        def test_no_drops(telemetry):
            assert "telemetry.drops" not in telemetry.metrics
        """,
    )
    assert_passed(done, 6)
