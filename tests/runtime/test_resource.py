"""What a process says about itself, and what it keeps to itself."""

from __future__ import annotations

import os
import uuid

import pytest
from opentelemetry.sdk.resources import Resource

from etl_telemetry.config import Config, resolve
from etl_telemetry.runtime.resource import build_resource, detect
from support.process import receiving, run


def _resource(config: Config) -> Resource:
    return build_resource(config, detect(config), forks=0)


def test_a_resource_names_service_version_environment_and_process() -> None:
    """Everything that a query needs, and no command line, which may hold secrets."""
    config = resolve(
        {
            "service_name": "shop",
            "service_version": "1.2",
            "environment": "production",
            "resource_attributes": {"team": "data"},
        },
        {},
        None,
    )
    attributes = dict(_resource(config).attributes)
    uuid.UUID(str(attributes.pop("service.instance.id")))
    assert attributes.pop("process.pid") == os.getpid()
    assert {key for key in attributes if key.startswith(("process.", "telemetry."))} == {
        "process.executable.name",
        "process.executable.path",
        "process.parent_pid",
        "process.runtime.name",
        "process.runtime.version",
        "process.runtime.description",
        "telemetry.distro.name",
        "telemetry.distro.version",
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "telemetry.sdk.version",
    }
    assert {
        k: v for k, v in attributes.items() if not k.startswith(("process.", "telemetry."))
    } == {
        "service.name": "shop",
        "service.version": "1.2",
        "deployment.environment.name": "production",
        "team": "data",
    }


def test_the_detectors_that_the_user_names_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own variable for more detectors works as everywhere."""
    monkeypatch.setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "otel,os")
    assert _resource(resolve({}, {}, None)).attributes["os.type"] == "linux"


def test_each_resource_is_a_writer_of_its_own() -> None:
    """Two processes never share a series."""
    config = resolve({}, {}, None)
    first, second = (_resource(config).attributes["service.instance.id"] for _ in range(2))
    assert first != second


def test_a_configured_instance_id_stays_with_the_process_that_was_set_up() -> None:
    """A forked child gets a suffix, and the SDK's fork hook changes neither (trap 10)."""
    script = """
        import os
        from etl_telemetry import setup_telemetry, span
        telemetry = setup_telemetry(service_instance_id="fixed", instrumentations=())
        with span("parent before"):
            pass
        pid = os.fork()
        if pid == 0:
            with span("child"):
                pass
            os._exit(0 if telemetry.shutdown(30) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        with span("parent after"):
            pass
    """
    with receiving() as (receiver, query):
        assert run(script, receiver.address).returncode == 0
        ids = {span.name: span.resource["service.instance.id"] for span in query.spans()}
    child = ids.pop("child")
    assert ids == {"parent before": "fixed", "parent after": "fixed"}
    assert child.startswith("fixed-")
    assert len(child) == len("fixed-") + 8
