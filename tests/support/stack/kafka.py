"""Kafka, one broker that is its own controller (KRaft)."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from support.engines import java, locate
from support.stack.engine import Engine
from support.stack.jvm import SHORT
from support.stack.patience import PATIENCE, eventually

TOPICS = ("etl_traces", "etl_metrics", "etl_logs")
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"


class Kafka(Engine):
    """A broker that has the product's topics when it is ready."""

    name: ClassVar[str] = "kafka"
    PORTS: ClassVar[Mapping[str, int]] = {"broker": 9092, "controller": 9093}
    protocol: ClassVar[str] = "PLAINTEXT"
    """How clients speak to it."""
    partitions: int = 8
    """Partitions of each topic."""
    java_options: Sequence[str] = SHORT
    """How Java compiles and collects."""

    @property
    def broker(self) -> str:
        """Return its address, as clients want it."""
        return f"127.0.0.1:{self.ports['broker']}"

    def prepare(self) -> None:
        """Write its properties and its tools', and format its storage the first time."""
        controller, ours = f"127.0.0.1:{self.ports['controller']}", self.protocol
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"{ours}://{self.broker},CONTROLLER://{controller}",
            "advertised.listeners": f"{ours}://{self.broker}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{ours}:{ours}",
            "inter.broker.listener.name": ours,
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **self.security(),
        }
        for path, content in (
            (self._properties, properties),
            (self._client, {"security.protocol": ours, **self.client_security()}),
        ):
            path.write_text("".join(f"{k}={v}\n" for k, v in content.items()))
        if not (self.folder / "data").exists():
            storage = ("format", "-t", CLUSTER, "-c", self._properties, *self.logins())
            self._run("kafka.tools.StorageTool", *storage)

    def security(self) -> dict[str, str]:
        """Return what of its properties secures it."""
        return {}

    def client_security(self) -> dict[str, str]:
        """Return the properties by which its own tools get in."""
        return {}

    def logins(self) -> tuple[str, ...]:
        """Return the options of `format` that make its users."""
        return ()

    def command(self) -> list[str]:
        """Return how it is started."""
        return self._java("kafka.Kafka", self._properties)

    def is_ready(self) -> bool:
        """Say whether it listens; `after_start` waits until it answers."""
        return True

    def after_start(self) -> None:
        """Make the topics, as the page tells a team to do once."""
        for topic in TOPICS:
            self._run(
                *("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.broker),
                *("--command-config", self._client),
                *("--create", "--if-not-exists", "--topic", topic),
                *("--partitions", str(self.partitions), "--replication-factor", "1"),
            )

    def for_collector(self) -> dict[str, str]:
        """Return where agents and gateways find it."""
        return {"KAFKA_BROKERS": self.broker}

    def wait_until_read(self, group: str) -> None:
        """Return when a group has marked every message as done."""
        # Seldom: to look is a Java process.
        eventually("all is read", lambda: self.lag(group) == 0, timeout=2 * PATIENCE, every=3)

    def lag(self, group: str) -> int:
        """Return how many messages are there that a group has not marked as done."""
        told = self._groups("--describe", "--group", group)
        heads, *rows = (line.split() for line in told.splitlines() if line.strip())
        column = heads.index("LAG")
        return sum(int(row[column]) for row in rows if row[column] != "-")

    def rewind(self, group: str, topic: str, duration: str) -> None:
        """Let a group that does not run begin with what came since so long ago (ISO 8601)."""
        back = ("--reset-offsets", "--by-duration", duration, "--execute")
        self._groups("--group", group, "--topic", topic, *back)

    def _groups(self, *options: str) -> str:
        command = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
        client = ("--command-config", self._client)
        return self._run(command, "--bootstrap-server", self.broker, *client, *options)

    @property
    def _properties(self) -> Path:
        return self.folder / "kraft.properties"

    @property
    def _client(self) -> Path:
        return self.folder / "client.properties"

    def _java(self, main: str, *arguments: object) -> list[str]:
        options = ("-Xmx512m", *self.java_options, "-cp", f"{locate('kafka')}/*")
        return [str(java(17)), *options, main, *map(str, arguments)]

    def _run(self, main: str, *arguments: object) -> str:
        return subprocess.run(
            self._java(main, *arguments),
            check=True, timeout=PATIENCE, capture_output=True, text=True,
        ).stdout  # fmt: skip
