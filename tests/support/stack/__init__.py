"""Real engines for tests: start them, ask them, kill them, and run the platform against them.

    from support.stack import Stack

    with Stack(folder) as stack:               # Collector, Prometheus, Elasticsearch, Jaeger
        run_something(OTEL_EXPORTER_OTLP_ENDPOINT=stack.collector.otlp_http)
        stack.settle()                         # until the Collector's queues are empty
        stack.prometheus.ask.values("pipeline_executions_total", "status")
        stack.elasticsearch.ask.documents("logs-*", {"term": {"trace_id": trace_id}})
        stack.jaeger.ask.trace(trace_id)

        stack.jaeger.kill()                    # -9; also stop(), pause() and resume()
        stack.jaeger.start()                   # same ports, same data
        stack.collector.configs = [...]        # another configuration
        stack.collector.restart()

Every engine is an `Engine` (`engine.py`) in a module of its own; a new one needs a name, its ports,
its command and when it is ready. Ports are free ones, files are below the folder that is given,
configurations are the product's own files in `collector/`.
"""

from support.stack.alertmanager import Alertmanager
from support.stack.collector import Collector
from support.stack.elasticsearch import Elasticsearch
from support.stack.engine import Engine, EngineFailed
from support.stack.jaeger import Jaeger
from support.stack.kafka import Kafka
from support.stack.patience import eventually
from support.stack.prometheus import Prometheus
from support.stack.stack import Stack
from support.stack.victoriametrics import VictoriaMetrics

__all__ = [
    "Alertmanager",
    "Collector",
    "Elasticsearch",
    "Engine",
    "EngineFailed",
    "Jaeger",
    "Kafka",
    "Prometheus",
    "Stack",
    "VictoriaMetrics",
    "eventually",
]
