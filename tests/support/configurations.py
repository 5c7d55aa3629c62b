"""The Collector's configurations by file, and which of them go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from support.deployment import COLLECTOR, expand

BASES = ("single-node.yaml", "gateway.yaml", "agent.yaml")
BACKENDS = ("single-node.yaml", "gateway.yaml")
"""The bases that end at backends: every overlay fits over both."""
OVER = {
    "agent-kafka.yaml": ("agent.yaml",),
    "gateway-kafka.yaml": ("gateway.yaml",),
    "gateway-kafka-replay.yaml": ("gateway.yaml",),
    "security/receiver.yaml": BACKENDS,
    "security/agent.yaml": ("agent.yaml",),
}
"""What else is no base, and what it goes over."""
NO_CONFIGURATION = ("compose.yaml", "kustomization.yaml", "manifest.yaml")

Files = tuple[str, ...]


def combinations() -> Iterator[Files]:
    """Return every combination of files that a team may run, found in the folder."""
    for base in BASES:
        yield (base,)
    for overlay in overlays():
        for base in BACKENDS:
            yield (base, overlay)
            if (COLLECTOR / both(overlay)).exists():
                yield (base, overlay, both(overlay))
    for file, bases in OVER.items():
        for base in bases:
            yield (base, file)
    yield ("agent.yaml", "agent-kafka.yaml", "security/agent.yaml")
    yield ("gateway.yaml", "gateway-kafka.yaml", "overlays/logs-loki.yaml")


def overlays() -> list[str]:
    """Return the overlays that swap a backend."""
    return sorted(f"overlays/{path.name}" for path in (COLLECTOR / "overlays").glob("*.yaml"))


def both(overlay: str) -> str:
    """Return the file that makes of an overlay that swaps one that sends to both."""
    return f"overlays/both/{Path(overlay).name}"


def files() -> set[str]:
    """Return every Collector configuration there is."""
    found = [
        *COLLECTOR.glob("*.yaml"),
        *(COLLECTOR / "overlays").rglob("*.yaml"),
        *(COLLECTOR / "security").glob("*.yaml"),
    ]
    return {str(path.relative_to(COLLECTOR)) for path in found} - {*NO_CONFIGURATION}


def read(names: Files, **environment: str) -> dict[str, Any]:
    """Return files merged as the Collector merges them: maps grow, everything else is replaced."""
    merged: dict[str, Any] = {}
    for name in names:
        text = expand((COLLECTOR / name).read_text(), environment)
        merged = _merge(merged, yaml.safe_load(text))
    return merged


def _merge(under: Any, over: Any) -> Any:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    return under | {key: _merge(under.get(key), value) for key, value in over.items()}
