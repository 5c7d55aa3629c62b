"""Elasticsearch, one node."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from support.engines import java, locate
from support.stack.ask import http
from support.stack.ask.elasticsearch import ElasticsearchApi
from support.stack.engine import Engine
from support.stack.jvm import SHORT
from support.stack.product import PRODUCT

HEAP = "512m"


class Elasticsearch(Engine):
    """An Elasticsearch node that has the product's index templates when it is ready."""

    name: ClassVar[str] = "elasticsearch"
    PORTS: ClassVar[Mapping[str, int]] = {"http": 9200}
    templates: Path = PRODUCT / "elasticsearch" / "index-templates"
    """Folder of the index templates that it is given."""
    java_options: Sequence[str] = SHORT
    """How Java compiles and collects."""

    @property
    def ask(self) -> ElasticsearchApi:
        """Return how to search it."""
        return ElasticsearchApi(self.address("http"))

    def prepare(self) -> None:
        """Make the folders that it wants."""
        for name in ("data", "logs", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)

    def command(self) -> list[str]:
        """Return how it is started. The launcher and its options are the recipe's."""
        built = locate("elasticsearch")
        home, archive = built / "home", built / "elasticsearch.jsa"
        return [
            str(java(25)),
            *(f"-Xms{HEAP}", f"-Xmx{HEAP}", *self.java_options),
            *("-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={archive}"),
            *("-Xlog:cds=off", "-Xlog:cds+dynamic=off"),
            *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"),
            "-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false",
            f"-Des.nativelibs.path={built / 'natives'}",
            "-Dorg.apache.logging.log4j.level=WARN",
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            f"-Detl.es.home={home}",
            f"-Detl.es.port={self.ports['http']}",
            f"-Des.setting.path.data={self.folder / 'data'}",
            f"-Des.setting.path.logs={self.folder / 'logs'}",
            *("-cp", f"{home}/lib/*", "etl.es.EsLauncher"),
        ]

    def is_ready(self) -> bool:
        """Say whether its cluster of one takes data."""
        return http.answers(f"{self.address('http')}/_cluster/health?wait_for_status=yellow")

    def after_start(self) -> None:
        """Put the index templates, as a team does once; a data stream needs one."""
        for path in sorted(self.templates.glob("*.json")):
            self.ask.put_template(path.stem, json.loads(path.read_text()))

    def for_collector(self) -> dict[str, str]:
        """Return where the Collector sends logs."""
        return {"ELASTICSEARCH_ENDPOINT": self.address("http")}
