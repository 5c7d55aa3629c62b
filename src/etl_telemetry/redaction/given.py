"""What callers hand over, as text."""

from __future__ import annotations

from etl_telemetry import values


def as_text(value: object, *, limit: int) -> str:
    """Return the first `limit` characters of `value` as text; never raise.

    Text and bytes are cut silently, since only what remains of them leaves the
    process; of anything else the printed form is taken, and counted where it is cut.

    >>> as_text(b"SELECT 1", limit=6), as_text(None, limit=6)
    ('SELECT', 'None')
    """
    # The exact types: a subclass may run the application's code at anything.
    if type(value) is str:
        return value[:limit]
    if type(value) is bytes or type(value) is bytearray:
        return bytes(value[:limit]).decode("utf-8", "replace")
    return values.text(value, limit=limit)
