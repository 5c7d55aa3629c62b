"""What a person is told: addresses, how to sign in, and commands that find a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.stack.stack import Stack

if TYPE_CHECKING:
    from support.stack.platform import Platform

ADDRESSES = """
Collector      {http} (OTLP over HTTP), {grpc} (gRPC)
               {metrics}/metrics (its own)
Prometheus     {prometheus}
Elasticsearch  {elasticsearch}
Jaeger         {jaeger}

Your application sends to the Collector:

    export OTEL_EXPORTER_OTLP_ENDPOINT={http}
"""
PLATFORM = """
Platform       {address}/   user {username}, password {password}
"""
RUN = """
A run of {pipeline} has ended. Its metrics, its log records, its trace:

    {commands}
"""
COMMANDS = (
    """curl -s {prometheus}/api/v1/query --data-urlencode \\
      'query=pipeline_executions_total{{pipeline_name="{pipeline}"}}'""",
    """curl -s '{elasticsearch}/logs-*/_search?q=trace_id:{trace_id}&sort=@timestamp&size=100' \\
      | grep -o '"text":"[a-z_]*"'""",
    """curl -s {jaeger}/api/v3/traces/{trace_id} \\
      | grep -o '"name":"[^"]*","kind"' | sort | uniq -c""",
)
"""What finds a run in each backend, with nothing but a shell."""
TRACE = "{jaeger}/api/v3/traces/{{trace_id}}"
"""Where the platform's pages link to; the Jaeger that is built here has no pages of its own."""


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


def commands(ended: dict[str, Any], *, backends: dict[str, str]) -> list[str]:
    """Return the commands that find a run in each backend."""
    facts = {"pipeline": ended["pipeline"], "trace_id": ended["trace_id"], **backends}
    return [command.format(**facts) for command in COMMANDS]


def run(stack: Stack, ended: dict[str, Any]) -> str:
    """Tell how to find a run in each backend."""
    found = commands(ended, backends=_backends(stack))
    return RUN.format(pipeline=ended["pipeline"], commands="\n\n    ".join(found))


def trace_url(stack: Stack) -> str:
    """Return the address of a trace, as the platform's pages want it."""
    return TRACE.format(**_backends(stack))


def _backends(stack: Stack) -> dict[str, str]:
    return {
        "prometheus": stack.prometheus.address("http"),
        "elasticsearch": stack.elasticsearch.address("http"),
        "jaeger": stack.jaeger.address("query"),
    }
