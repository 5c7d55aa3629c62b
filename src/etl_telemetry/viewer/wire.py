"""The two encodings of OTLP/HTTP: binary protobuf and its own JSON dialect.

https://opentelemetry.io/docs/specs/otlp/#otlphttp and #json-protobuf-encoding
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_IDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

M = TypeVar("M", bound=Message)


class WireError(Exception):
    """A body is not what its content type says; the text says why."""


def decode(body: bytes, content_type: str, kind: type[M]) -> M:
    """Return a body as a message of this kind; unknown fields are ignored, as OTLP demands.

    Raises:
        WireError: The body cannot be decoded.
    """
    message = kind()
    try:
        if content_type == JSON:
            document = json.loads(body)
            if not isinstance(document, dict):
                raise WireError(f"the body must be a JSON object, got {type(document).__name__}")
            _check_text(body, document)
            _hex_ids(document)
            json_format.ParseDict(document, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        name = kind.DESCRIPTOR.name
        raise WireError(f"cannot read the body as {name} in {content_type}: {error}") from error
    return message


def encode(message: Message, content_type: str) -> bytes:
    """Return a message in the encoding that the client speaks."""
    if content_type == JSON:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()


def status(code: int, message: str) -> Status:
    """Return the body of an error answer; code is one of google.rpc.Code."""
    return Status(code=code, message=message)


def _check_text(body: bytes, document: object) -> None:
    """Refuse half a surrogate pair, which JSON can write but UTF-8, hence protobuf, cannot.

    protobuf 7 (upb) raises SystemError on a field whose name has one, instead of a ParseError.
    Delete this when its ParseDict does (tests/viewer/test_wire.py).
    """
    if _SURROGATE.search(body):
        json.dumps(document, ensure_ascii=False).encode()


def _hex_ids(node: object) -> None:
    """Turn OTLP's hexadecimal ids into the base64 that `json_format` expects, in place.

    Every dict key in OTLP JSON is a field's name (attribute names are values of "key"), so an id
    is known by its key wherever it stands.
    """
    if isinstance(node, list):
        for item in node:
            _hex_ids(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in _IDS and isinstance(value, str):
                node[key] = _base64(key, value)
            elif isinstance(value, list | dict):
                _hex_ids(value)


def _base64(key: str, value: str) -> str:
    try:
        return base64.b64encode(binascii.unhexlify(value)).decode("ascii")
    except ValueError as error:
        raise WireError(f"{key} must be hexadecimal digits, got {value[:40]!r}") from error
