"""What a person is told: addresses, how to sign in, and commands that find a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.stack.stack import Stack

if TYPE_CHECKING:
    from support.stack.platform import Platform

ADDRESSES = """
Collector      OTLP/HTTP {http}   OTLP/gRPC {grpc}   its own metrics {metrics}/metrics
Prometheus     {prometheus}
Elasticsearch  {elasticsearch}
Jaeger         {jaeger}/api/v3/services

Your application sends to the Collector:

    export OTEL_EXPORTER_OTLP_ENDPOINT={http}
"""
PLATFORM = """
Platform       {address}/   user {username}, password {password}
"""
RUN = """
A run of {pipeline} has ended. Its metrics, its log records, its trace:

    curl -s '{prometheus}/api/v1/query' --data-urlencode \\
      'query=pipeline_executions_total{{pipeline_name="{pipeline}"}}'

    curl -s '{elasticsearch}/logs-*/_search?q=trace_id:{trace_id}&sort=@timestamp&size=100' \\
      | grep -o '"text":"[a-z_]*"'

    curl -s '{jaeger}/api/v3/traces/{trace_id}' \\
      | grep -o '"name":"[^"]*","kind"' | sort | uniq -c
"""


def engines(stack: Stack) -> str:
    """Tell the addresses of the engines."""
    return ADDRESSES.format(
        http=stack.collector.otlp_http,
        grpc=stack.collector.otlp_grpc,
        metrics=stack.collector.address("metrics"),
        **_backends(stack),
    )


def platform(running: Platform) -> str:
    """Tell where the platform is and how to sign in."""
    return PLATFORM.format(address=running.address, **running.login)


def run(stack: Stack, ended: dict[str, Any]) -> str:
    """Tell how to find a run in each backend."""
    return RUN.format(pipeline=ended["pipeline"], trace_id=ended["trace_id"], **_backends(stack))


def _backends(stack: Stack) -> dict[str, str]:
    return {
        "prometheus": stack.prometheus.address("http"),
        "elasticsearch": stack.elasticsearch.address("http"),
        "jaeger": stack.jaeger.address("query"),
    }
