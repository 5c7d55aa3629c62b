"""Who acts, carried in a header from message to message: a task is done for who published it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from etl_telemetry import audit
from etl_telemetry.audit import Acting
from etl_telemetry.catalogue import ACTOR_HEADER


def write(headers: MutableMapping[str, Any]) -> None:
    """Add who acts, if anybody is known without asking a database, to the headers of a message."""
    who = audit.carried()
    if who is not None:
        headers[ACTOR_HEADER] = who.to_header()


def read(request: object) -> Acting | None:
    """Return who published the message of ``request``, or None."""
    return Acting.from_header(getattr(request, ACTOR_HEADER, None))
