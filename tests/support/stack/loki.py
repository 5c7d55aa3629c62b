"""Loki 3, which takes OTLP."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from support.engines import locate
from support.stack.ask import http
from support.stack.engine import Engine


class Loki(Engine):
    """A Loki in one process, with its data in its folder."""

    name: ClassVar[str] = "loki"
    PORTS: ClassVar[Mapping[str, int]] = {"http": 3100, "grpc": 9095}

    def logs(self, service: str, **fields: str) -> list[dict[str, Any]]:
        """Return a service's records with these fields, by time: its structured metadata."""
        told = "".join(f' | {name}="{value}"' for name, value in fields.items())
        now = time.time_ns()
        found = http.get(
            f"{self.address('http')}/loki/api/v1/query_range",
            query=f'{{service_name="{service}"}}{told}',
            start=now - 3600 * 10**9,
            end=now,
            limit=5_000,
            direction="forward",
        )["data"]["result"]
        records = [(at, each["stream"], line) for each in found for at, line in each["values"]]
        ordered = sorted(records, key=lambda record: (record[0], record[2]))
        return [{**stream, "line": line} for _, stream, line in ordered]

    def flush(self) -> None:
        """Let it write what it has in memory."""
        http.send("POST", f"{self.address('http')}/flush")

    def prepare(self) -> None:
        """Write its configuration."""
        data, host = str(self.folder / "data"), "127.0.0.1"
        config = {
            "auth_enabled": False,
            "analytics": {"reporting_enabled": False},
            "server": {
                "http_listen_address": host, "http_listen_port": self.ports["http"],
                "grpc_listen_address": host, "grpc_listen_port": self.ports["grpc"],
                "log_level": "warn",
            },
            "common": {
                "instance_addr": host, "path_prefix": data, "replication_factor": 1,
                "ring": {"kvstore": {"store": "inmemory"}},
                "storage": {"filesystem": {
                    "chunks_directory": f"{data}/chunks", "rules_directory": f"{data}/rules",
                }},
            },
            "frontend": {"address": host},
            "schema_config": {"configs": [{
                "from": "2024-01-01", "store": "tsdb", "object_store": "filesystem",
                "schema": "v13", "index": {"prefix": "index_", "period": "24h"},
            }]},
            "limits_config": {
                "max_entries_limit_per_query": 5_000, "ingestion_rate_mb": 64,
                "ingestion_burst_size_mb": 64,
            },
        }  # fmt: skip
        (self.folder / "loki.yaml").write_text(json.dumps(config))  # JSON is YAML.

    def command(self) -> list[str]:
        """Return how it is started."""
        return [str(locate("loki")), f"-config.file={self.folder / 'loki.yaml'}"]

    def is_ready(self) -> bool:
        """Say whether it takes records; that takes it some seconds after its start."""
        return http.answers(f"{self.address('http')}/ready")

    def for_collector(self) -> dict[str, str]:
        """Return where the Collector sends logs."""
        return {"LOKI_OTLP_ENDPOINT": f"{self.address('http')}/otlp"}
