"""What Alertmanager sends, made by hand, and one that sends it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

TOKEN = "a-token-that-nobody-guesses"
NEVER = "0001-01-01T00:00:00Z"
Json = dict[str, Any]


def alert(number: int = 1, **changed: Any) -> Json:
    """Return an alert that fires; a value of None takes a key away."""
    made = {
        "status": "firing",
        "labels": {"alertname": "PipelineFailureRate", "severity": "warning"},
        "annotations": {"summary": "1 of 5 runs failed"},
        "startsAt": "2026-11-27T10:00:00.123456789Z",
        "endsAt": NEVER,
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": f"{number:016x}",
        **changed,
    }
    return {key: value for key, value in made.items() if value is not None}


def resolved(number: int = 1, **changed: Any) -> Json:
    """Return the end of that alert."""
    return alert(number, status="resolved", **{"endsAt": "2026-11-27T10:05:00Z", **changed})


def payload(*alerts: Json, **changed: Any) -> Json:
    """Return a delivery, as version 0.31 sends it."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="PipelineFailureRate"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "platform",
        "groupLabels": {"alertname": "PipelineFailureRate"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
        **changed,
    }


def deliver(
    url: str,
    body: bytes | Json,
    *,
    token: str | None = TOKEN,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Json]:
    """Send a body over HTTP; return the status and the answer."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, sent, method=method)  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - ours
            return int(answer.status), json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
