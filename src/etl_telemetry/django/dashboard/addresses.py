"""Addresses of the pages, wherever the project has mounted them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

CAPTURED = "telemetry_"
"""Begin of the names of what our own paths capture."""


def address(request: HttpRequest, view: str, **kwargs: Any) -> str:
    """Return the address of a page beside the one that is asked for.

    What the project's own path captures (`<slug:tenant>/monitoring/`) stays as it is.
    """
    match = request.resolver_match
    if match is None:
        return ""
    kept = {key: value for key, value in match.kwargs.items() if not key.startswith(CAPTURED)}
    ours = {f"{CAPTURED}{key}": value for key, value in kwargs.items()}
    return reverse(":".join([*match.namespaces, view]), kwargs={**kept, **ours})
