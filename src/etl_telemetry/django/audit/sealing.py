"""Seals and digests: what makes an altered, inserted or removed row show.

A row is sealed when it is written, with a key that the database does not have: who only
reaches the database can insert no row that passes for one of the application. A block's
digest covers its rows and the block before it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from functools import lru_cache

from django.conf import settings

from etl_telemetry.django.audit.models import AuditBlock, AuditRow

GENESIS = "0" * 64
"""What the first block has for the digest of the one before."""


def seal(row: AuditRow) -> None:
    """Put the seal on a row that is about to be written."""
    row.key_id, key = _key(settings.SECRET_KEY)
    row.seal = _sealed(row, key)


def is_genuine(row: AuditRow) -> bool | None:
    """Tell whether this application wrote the row as it is; None where its key is not known.

    `SECRET_KEY_FALLBACKS` are known keys too.
    """
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        id_, key = _key(secret)
        if id_ == row.key_id:
            return hmac.compare_digest(_sealed(row, key).encode(), row.seal.encode())
    return None


class Content:
    """The digest over rows, one after the other."""

    def __init__(self, rows: Iterable[AuditRow] = ()) -> None:
        self._hash = hashlib.sha256()
        self.rows = 0
        for row in rows:
            self.add(row)

    def add(self, row: AuditRow) -> None:
        """Add the next row, in the order of their ids."""
        self._hash.update(_text(row.pk, *_parts(row), row.key_id, row.seal))
        self.rows += 1

    def digest(self) -> str:
        """Return the digest of all rows so far."""
        return self._hash.hexdigest()


def block_digest(block: AuditBlock) -> str:
    """Return the digest of a block: of all that it says, and of the block before it."""
    return hashlib.sha256(
        _text(
            block.number, block.previous, block.content, block.rows, block.forged,
            block.newest_us, block.chained_us,
        )
    ).hexdigest()  # fmt: skip


def _sealed(row: AuditRow, key: bytes) -> str:
    return hmac.new(key, _text(*_parts(row)), hashlib.sha256).hexdigest()


def _parts(row: AuditRow) -> tuple[object, ...]:
    return (
        row.uid, row.occurred_us, row.name, row.actor, row.organization, row.resource_type,
        row.resource_id, row.outcome, row.details, row.trace_id, row.span_id,
        row.run_id,
    )  # fmt: skip


def _text(*parts: object) -> bytes:
    """Write parts so that no two different lists give the same text."""
    return json.dumps(parts, separators=(",", ":")).encode() + b"\n"


@lru_cache(maxsize=16)
def _key(secret: str | bytes) -> tuple[str, bytes]:
    """Return the id and the key that follow from one of the project's secrets."""
    raw = secret if isinstance(secret, bytes) else str(secret).encode()
    key = hashlib.sha256(b"etl_telemetry.audit.seal/" + raw).digest()
    return hashlib.sha256(b"etl_telemetry.audit.key/" + key).hexdigest()[:8], key
