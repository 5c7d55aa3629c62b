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
_OF_ONE_PROCESS = ("process.", "host.", "container.", "k8s.pod.")
"""Attributes that would make each process that reports for all another writer."""


def detect(config: Config) -> Resource:
    """Return what is the same for all processes of a process tree.

    Asked once, at set-up: the detectors of OTEL_EXPERIMENTAL_RESOURCE_DETECTORS (host,
    os, clouds) run on threads, which must not be waited for under a lock.
    """
    fields = {
        **config.resource_attributes,
        "service.name": config.service_name,
        "service.version": config.service_version,
        DEPLOYMENT_ENVIRONMENT_NAME: config.environment,
        "telemetry.distro.name": "etl-telemetry",
        "telemetry.distro.version": version("etl-telemetry"),
    }
    return Resource.create({}).merge(Resource(fields))


def build_resource(config: Config, detected: Resource, *, forks: int) -> Resource:
    """Return the resource of this process: what was `detected`, and its own identity.

    `service.instance.id` is new for each process, since each is its own writer
    of its series. A configured one names the process that was set up; its forked
    children get a suffix, or their sums would overwrite one another.
    """
    process = ProcessResourceDetector().detect().attributes
    own = {k: v for k, v in {**process, **detected.attributes}.items() if k not in _PRIVATE}
    if config.service_instance_id is not None:
        # The name of a writer that outlives its process: a new pid would make it another one.
        own.pop("process.pid", None)
    own[SERVICE_INSTANCE_ID] = _instance_id(config.service_instance_id, forks)
    return Resource(own, detected.schema_url)


def shared_resource(process: Resource, instance_id: str) -> Resource:
    """Return the resource of series that are the same whichever process reports them."""
    shared = {
        key: value
        for key, value in process.attributes.items()
        if not key.startswith(_OF_ONE_PROCESS)
    }
    return Resource({**shared, SERVICE_INSTANCE_ID: instance_id}, process.schema_url)


def _instance_id(configured: str | None, forks: int) -> str:
    if configured is None:
        return str(uuid.uuid4())
    return configured if forks == 0 else f"{configured}-{uuid.uuid4().hex[:8]}"
