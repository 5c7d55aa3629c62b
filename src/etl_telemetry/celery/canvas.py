"""Canvas: which part of it a task is, and the header tasks that a chord's body links to.

Celery's messages say most of it: group, root, parent, what follows in a chain, the chord
that a task is in the header of. Only who publishes knows the rest (`published_kind`).

**A chord's body links to each task of its header**, though these may have run on many hosts,
and their ids are not in the message of the body. So the span of a header task's first
delivery has an id that derives from the group's id and the task's place in it: the body
needs the group and its size only. Both travel in a header of the body, which `wrap` adds
where the chord is published.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import celery
from celery.utils import uuid
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Link, SpanContext

from etl_telemetry import catalogue, guard, tracing
from etl_telemetry.catalogue import CHORD_SPAN, TASK_NAME, CanvasKind
from etl_telemetry.celery.here import Here
from etl_telemetry.celery.message import Chord
from etl_telemetry.instrumentation.wrapping import replace
from etl_telemetry.runtime import ids

CHORD_HEADER = "etl_telemetry_chord"
"""Header of a body that is not published yet: `group size`; never leaves with a message."""
MAX_LINKS = 128
"""Links of a body: the SDK's own limit."""

_UNLOCK = "celery.chord_unlock"
_MAPS = {"celery.map": CanvasKind.MAP, "celery.starmap": CanvasKind.STARMAP}


def wrap() -> Callable[[], None]:
    """Tell the body of every chord that this process publishes its header; return the undo."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def run(*args: Any, **kwargs: Any) -> Any:  # An inner chord has an option `chord`.
            told: dict[str, str] = {}
            with guard.absorb("celery chord"):
                told = _tell(*args[1:3], **kwargs) if is_instrumentation_enabled() else {}
            if not told or trace.get_current_span().get_span_context().is_valid:
                return original(*args, **kwargs)
            # Outside of any trace each task of the header would be in a trace of its own.
            name = CHORD_SPAN.name.replace(f"{{{TASK_NAME}}}", told[TASK_NAME])
            with tracing.span(name, attributes=told):
                return original(*args, **kwargs)

        return run

    return replace(celery.chord, "run", around)


def _tell(header: Any, body: Any, **_: object) -> dict[str, str]:
    """Write the header's group and size into the headers of the body; return the span's."""
    group = header.options["task_id"] = header.options.get("task_id") or uuid()
    # A generator has no length, and asking for it would run it.
    size = sum(map(_length, header.tasks)) if isinstance(header.tasks, (list, tuple)) else ""
    body.options["headers"] = {
        **(body.options.get("headers") or {}),
        CHORD_HEADER: f"{group} {size}",
    }
    return {catalogue.CANVAS_GROUP_ID: group, TASK_NAME: str(body.get("task"))}


def _length(task: Any) -> int:
    tasks = getattr(task, "tasks", None)
    return sum(map(_length, tasks)) if isinstance(task, celery.group) and tasks else 1


def take_chord(headers: MutableMapping[str, Any], body: object) -> Chord | None:
    """Take the chord out of the headers of a message that is its body, or return None."""
    group, _, size = str(headers.pop(CHORD_HEADER, "")).partition(" ")
    # The task that waits for a chord is published with the options of the body.
    if not group or headers.get("task") == _UNLOCK:
        return None
    if size.isdigit():
        return Chord(group, int(size))
    match body:  # The results of the header are its first argument.
        case (list([list(results), *_]) | tuple([list(results), *_]), *_):
            return Chord(group, len(results))
    return None


def published_kind(
    headers: Mapping[str, Any], here: Here | None, *, is_body: bool
) -> CanvasKind | None:
    """Return what only the publisher of a message knows about its place in a canvas."""
    if is_body:
        return CanvasKind.CHORD_BODY
    if here is None:
        return None
    if _names_id(here.request.chain, headers.get("id")):
        return CanvasKind.CHAIN
    # Celery calls the errbacks of a task while it handles its exception.
    if sys.exception() is not None and _names_task(here.request.errbacks, headers.get("task")):
        return CanvasKind.ERRBACK
    return None


def kind(name: str, told: str | None, *, chord: object, chain: object, group: object) -> str | None:
    """Return the `CanvasKind` of a task; None: a single one.

    ``told`` is what its publisher knew. The end of a chain may be in the header of a chord
    or in a group: that tells more.
    """
    if told is not None and told != CanvasKind.CHAIN:
        return told
    if name in _MAPS:
        return _MAPS[name].value
    if chord is not None:
        return CanvasKind.CHORD.value
    if chain or told:
        return CanvasKind.CHAIN.value
    return CanvasKind.GROUP.value if group else None


def ids_of(headers: Mapping[str, Any], kind: str | None) -> dict[str, object]:
    """Return the attributes that tell the place of a message in a canvas; {} for a single task."""
    parent = headers.get("parent_id")
    if parent == headers.get("id"):
        parent = None  # A retry: Celery names the task as its own parent.
    if kind is None and parent is None:
        return {}
    return {
        catalogue.CANVAS_KIND: kind,
        catalogue.CANVAS_ROOT_ID: headers.get("root_id"),
        catalogue.CANVAS_PARENT_ID: parent,
        catalogue.CANVAS_GROUP_ID: headers.get("group"),
        catalogue.CANVAS_GROUP_INDEX: headers.get("group_index"),
    }


def attributes(request: Any, name: str, told: str | None) -> dict[str, object]:
    """Return the attributes of a delivery's span that tell its place in a canvas."""
    found = ids_of(  # A request answers `get` as headers do.
        request,
        kind(name, told, chord=request.chord, chain=request.chain, group=request.group),
    )
    if name in _MAPS:
        mapped = request.kwargs or {}
        found[catalogue.CANVAS_TASK] = (mapped.get("task") or {}).get("task")
        items = mapped.get("it")
        found[catalogue.CANVAS_SIZE] = len(items) if isinstance(items, (list, tuple)) else None
    return found


def span_id(request: Any) -> int | None:
    """Return the id that the span of a header task must have, so that the body can name it."""
    first = not (request.retries or request.replaced_task_nesting)
    again = (request.delivery_info or {}).get("redelivered")
    if request.chord is None or request.group_index is None or not first or again:
        return None
    return ids.named("chord", request.group, request.group_index)


def header_links(chord: Chord | None, trace_id: int, flags: trace.TraceFlags) -> list[Link]:
    """Return links to the first delivery of each task in the header of a chord."""
    if chord is None or not trace_id or not ids.are_kept():
        return []
    return [
        Link(
            SpanContext(trace_id, ids.named("chord", chord.group, index), True, flags),  # noqa: FBT003
            {catalogue.CANVAS_GROUP_INDEX: index},
        )
        for index in range(min(chord.size, MAX_LINKS))
    ]


def _names_id(signatures: object, task_id: object) -> bool:
    """Return whether the next task of a chain is this one (Celery keeps the rest reversed)."""
    match signatures:
        case [*_, {"options": {"task_id": next_id}}]:
            return bool(next_id == task_id)
    return False


def _names_task(signatures: object, name: object) -> bool:
    found = signatures if isinstance(signatures, (list, tuple)) else ()
    return any(isinstance(one, Mapping) and one.get("task") == name for one in found)
