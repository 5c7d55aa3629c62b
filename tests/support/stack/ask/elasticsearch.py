"""The search API of Elasticsearch, which OpenSearch has too."""

from __future__ import annotations

from typing import Any

from support.stack.ask import http

EVERYTHING = {"match_all": {}}
MOST = 10_000
"""Elasticsearch returns no more hits at once."""


class ElasticsearchApi:
    """Searches. Every one refreshes first, so that it sees what was written before."""

    def __init__(self, url: str) -> None:
        self.url = url

    def search(self, index: str, **body: Any) -> Any:
        """Search, with a body in its own words: `query`, `size`, `sort`, `aggs`."""
        self.refresh(index)
        return http.send("POST", self._path(index, "_search"), body)

    def documents(self, index: str, query: Any = EVERYTHING, **body: Any) -> list[dict[str, Any]]:
        """Return the documents (`_source`) that match, oldest first.

        Raises:
            ValueError: There are more than one answer can have.
        """
        body = {"query": query, "size": MOST, "sort": [{"@timestamp": "asc"}], **body}
        hits = self.search(index, **body, track_total_hits=True)["hits"]
        if hits["total"]["value"] > len(hits["hits"]):
            raise ValueError(f"{hits['total']['value']} documents match, ask for fewer")
        return [hit["_source"] for hit in hits["hits"]]

    def count(self, index: str, query: Any = EVERYTHING) -> int:
        """Return how many documents match."""
        found = self.search(index, query=query, size=0, track_total_hits=True)
        return int(found["hits"]["total"]["value"])

    def terms(self, index: str, field: str, query: Any = EVERYTHING) -> dict[Any, int]:
        """Return how many documents have each value of a field."""
        aggregation = {"found": {"terms": {"field": field, "size": MOST}}}
        found = self.search(index, query=query, size=0, aggs=aggregation)
        # Where no index matches there is no aggregation.
        buckets = found["aggregations"]["found"]["buckets"] if "aggregations" in found else []
        return {each["key"]: each["doc_count"] for each in buckets}

    def data_streams(self) -> list[str]:
        """Return the names of the data streams."""
        found = http.get(f"{self.url}/_data_stream")["data_streams"]
        return sorted(each["name"] for each in found)

    def mapping(self, index: str) -> dict[str, Any]:
        """Return `properties` of the index' mapping; of a data stream: of its newest index."""
        found = http.get(self._path(index, "_mapping"))
        newest: dict[str, Any] = found[max(found)]["mappings"]["properties"]
        return newest

    def refresh(self, index: str) -> None:
        """Make everything that was written visible."""
        http.send("POST", self._path(index, "_refresh"))

    def put_template(self, name: str, body: Any) -> None:
        """Put an index template."""
        http.send("PUT", f"{self.url}/_index_template/{name}", body)

    def delete_data_streams(self, pattern: str = "*") -> None:
        """Delete all documents of these data streams, and the streams."""
        http.send("DELETE", f"{self.url}/_data_stream/{pattern}")

    def _path(self, index: str, action: str) -> str:
        return f"{self.url}/{index}/{action}?ignore_unavailable=true&allow_no_indices=true"
