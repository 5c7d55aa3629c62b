"""How an engine on Java runs in the tests."""

from __future__ import annotations

SHORT = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a life of minutes: the quick compiler only, and the collector without threads of its own.
A start of Elasticsearch takes half the CPU so. A benchmark leaves Java its own choice, `()`."""
