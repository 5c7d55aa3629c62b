"""What one process says about itself."""

from __future__ import annotations

import uuid
from importlib.metadata import version

from opentelemetry.sdk.resources import (
    ProcessResourceDetector,
    Resource,
)

from etl_telemetry.catalogue import DEPLOYMENT_ENVIRONMENT_NAME, SERVICE_INSTANCE_ID
from etl_telemetry.config import Config

# A command line holds passwords and customers' names more often than one thinks.
_PRIVATE = ("process.command", "process.command_line", "process.command_args", "process.owner")


def build_resource(config: Config, *, forks: int) -> Resource:
    """Return the resource of this process.

    `service.instance.id` is new for each process, since each is its own writer
    of its series. A configured one names the process that was set up; its forked
    children get a suffix, or their sums would overwrite one another.
    """
    # `create` asks the detectors of OTEL_EXPERIMENTAL_RESOURCE_DETECTORS (host, os, clouds).
    detected = Resource.create({}).merge(ProcessResourceDetector().detect())
    public = {k: v for k, v in detected.attributes.items() if k not in _PRIVATE}
    if config.service_instance_id is not None:
        # The name of a writer that outlives its process: a new pid would make it another one.
        public.pop("process.pid", None)
    return Resource(
        {
            **public,
            **config.resource_attributes,
            "service.name": config.service_name,
            "service.version": config.service_version,
            SERVICE_INSTANCE_ID: _instance_id(config.service_instance_id, forks),
            DEPLOYMENT_ENVIRONMENT_NAME: config.environment,
            "telemetry.distro.name": "etl-telemetry",
            "telemetry.distro.version": version("etl-telemetry"),
        },
        detected.schema_url,
    )


def _instance_id(configured: str | None, forks: int) -> str:
    if configured is None:
        return str(uuid.uuid4())
    return configured if forks == 0 else f"{configured}-{uuid.uuid4().hex[:8]}"
