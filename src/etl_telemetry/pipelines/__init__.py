"""Runs of pipelines, in one process or over many, and what happens inside of them."""

from etl_telemetry.pipelines.block import RunBlock, pipeline_run
from etl_telemetry.pipelines.children import child_environment, continue_trace, in_child
from etl_telemetry.pipelines.finish import finish_run
from etl_telemetry.pipelines.publish import begin_run
from etl_telemetry.pipelines.run import LocalRun, Run, RunToken, attach, current_run, detach
from etl_telemetry.pipelines.steps import (
    ConnectorOperation,
    Step,
    connector_operation,
    step,
)

__all__ = [
    "ConnectorOperation",
    "LocalRun",
    "Run",
    "RunBlock",
    "RunToken",
    "Step",
    "attach",
    "begin_run",
    "child_environment",
    "connector_operation",
    "continue_trace",
    "current_run",
    "detach",
    "finish_run",
    "in_child",
    "pipeline_run",
    "step",
]
