"""An application that emits at a steady pace with the library, and says at its end how much.

Each round emits one span, one log record, one audit event and one count, each but the count with
the number of the round, until it is told to end; then it ends as a real one does, and prints what
it emitted and what it dropped.
With `runs` each round is a pipeline run, of which every third fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from support.process import environment
from support.stack.patience import PATIENCE, eventually
from support.stack.stack import Stack

SCRIPT = """
import json, logging, sys
from opentelemetry import metrics
from etl_telemetry import audit, guard, pipeline_run, setup_telemetry, span
from etl_telemetry.stopping import told_to_stop
pace, padding, runs = float(sys.argv[1]), "x" * int(sys.argv[2]), sys.argv[3]
handle = setup_telemetry(instrumentations=())
log = logging.getLogger("emitter")
log.setLevel(logging.INFO)
counter = metrics.get_meter("emitter").create_counter("emitted", unit="{round}")
rounds = 0
def do(number):
    with span("round", number=number, padding=padding):
        log.info("round", extra={"number": number})
        audit.record("round_done", actor="emitter", resource={"type": "round", "id": number})
    counter.add(1)
with told_to_stop() as stop:
    while not stop.wait(pace):
        if runs:
            with pipeline_run("emitted", organization="acme", run_id=f"{runs}-{rounds}") as run:
                do(rounds)
                run.set_status("success" if rounds % 3 else "failed")
        else:
            do(rounds)
        rounds += 1
        print(rounds, flush=True)
delivered = handle.shutdown(60)
drops = guard.drops()
print(json.dumps({"rounds": rounds, "delivered": delivered, "drops": drops}))
"""


IMPATIENT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "10"}
"""Variables of an application that gives up after ten seconds, as by default."""

AUDITED = "logs-etl.audit*"
"""The data stream of audit events."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """What an emitter says of itself."""

    rounds: int
    """How many spans, log records and audit events, and what its counter must say."""
    delivered: bool
    """Whether its end delivered what was left."""
    drops: Mapping[str, int]
    """What it counted as dropped, by reason."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the backends have of an emitter: each number, and how often."""

    spans: Counter[int]
    """Spans in Jaeger, by the number of their round."""
    records: Counter[int]
    """Documents in Elasticsearch, by the number of their round."""
    audits: Counter[int]
    """Documents of audit events there, by the number of their round."""
    counted: float
    """What its counter says in Prometheus."""


class Emitter:
    """A running application; leave the block or `end()` it to make it stop.

    Each is a service of its own, so that backends can be asked for what is its.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        pace: float = 0.01,
        padding: int = 0,
        runs: bool = False,
        **variables: str,
    ) -> None:
        self.service = f"emitter-{uuid.uuid4().hex[:8]}"
        self._since = time.time()
        self._command = [sys.executable, "-c", SCRIPT, str(pace), str(padding)]
        self._command.append(self.service if runs else "")
        usual = {
            "OTEL_SERVICE_NAME": self.service,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_BLRP_SCHEDULE_DELAY": "200",
            # Twice the default, as there are twice as many records as spans.
            "OTEL_BLRP_MAX_QUEUE_SIZE": "4096",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            # By default 10: on a busy machine the restart of a Collector takes longer.
            "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
        }
        self._environment = environment(endpoint, **{**usual, **variables})
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed in __exit__
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed in __exit__

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=self._output, stderr=self._errors
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()
        self._errors.close()

    @property
    def own(self) -> dict[str, Any]:
        """Return the query that finds its documents in Elasticsearch."""
        return {"term": {"resource.attributes.service.name": self.service}}

    @property
    def rounds(self) -> int:
        """Return how many rounds it has done."""
        lines = self._lines()
        return int(lines[-1]) if lines else 0

    def go_on(self, rounds: int) -> None:
        """Return when it has done that many more."""
        goal = self.rounds + rounds
        eventually(f"the emitter reaches round {goal}", lambda: self.rounds >= goal)

    def end(self) -> Emitted:
        """Tell it to end, and return what it says."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._errors.seek(0)
        assert self._process.returncode == 0, self._errors.read()
        return Emitted(**json.loads(self._lines()[-1]))

    def arrived(self, stack: Stack) -> Arrived:
        """Ask the backends of a stack what they have of it."""
        records = stack.elasticsearch.ask.terms("logs-*", "attributes.number", self.own)
        ended = {
            "bool": {"filter": [self.own, {"term": {"attributes.audit.resource.type": "round"}}]}
        }
        audits = stack.elasticsearch.ask.terms(AUDITED, "attributes.audit.resource.id", ended)
        return Arrived(
            self.spans(stack),
            Counter(records),
            Counter({int(number): times for number, times in audits.items()}),
            self.counted(stack),
        )

    def spans(self, stack: Stack) -> Counter[int]:
        """Return its spans in Jaeger, by the number of their round."""
        now = time.time()
        traces = stack.jaeger.ask.search(self.service, start=self._since, end=now, limit=100_000)
        # A span that was delivered twice is one span: its id tells.
        spans = {
            span.span_id: span.attributes["number"]
            for trace in traces.values()
            for span in trace
            if span.name == "round"
        }
        return Counter(spans.values())

    def counted(self, stack: Stack) -> float:
        """Return what its counter says in Prometheus."""
        counts = stack.prometheus.ask.query(f'emitted_total{{job="{self.service}"}}')
        return sum(sample.value for sample in counts)

    def _lines(self) -> list[str]:
        self._output.seek(0)
        text = self._output.read()
        return text[: text.rfind("\n") + 1].splitlines()
