"""What a trace shows of canvas: the ids, and the links from a chord's body; real workers."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from etl_telemetry.viewer.records import Span
from support.broker import broker, broker_server
from support.celery_traces import APP, assert_declared, deliveries, deliveries_of, published
from support.celery_worker import Received, received, worker

__all__ = ["broker", "broker_server", "received"]


CHORDS = {
    "results": ("chord([add.s(1, 2), flaky.s(4), add.s(5, 6)], total.s())", 3, "total"),
    "immutable body": ("chord([add.s(1, 2), add.s(3, 4)], done.si())", 2, "done"),
    "nested group": (
        "chord(group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3))), total.s())", 3, "total",
    ),
    "chain in the header": (
        "chord([chain(add.s(1, 2), add.s(3)), add.s(4, 5)], total.s())", 2, "total",
    ),
    "chain as the body": (
        "chord([add.s(1, 2), add.s(3, 4)], chain(total.s(), add.s(1)))", 2, "total",
    ),
    "generator": ("chord((add.s(n, n) for n in range(3)), total.s())", 3, "total"),
    "chain that becomes a chord": ("chain(group(add.s(1, 2), add.s(3, 4)), total.s())", 2, "total"),
}  # fmt: skip


PLAY = """
import json
ids = {{}}
for name, result in {{ {canvases} }}.items():
    result.get(timeout=100)
    ids[name] = result.id
print(json.dumps(ids))
"""


@pytest.mark.parametrize("backend", ["redis", "file"])
def test_the_body_of_a_chord_links_to_every_task_of_its_header(
    backend: str, broker: str, received: Received
) -> None:
    """Whatever the canvas and the result backend: one link for each header task, one trace.

    Published outside of any span. A backend of files joins by polling (`celery.chord_unlock`).
    """
    variables = {}
    if backend == "file":
        (received.folder / "results").mkdir()
        variables["BACKEND"] = f"file://{received.folder}/results"
    canvases = ", ".join(f"{name!r}: ({code}).apply_async()" for name, (code, *_) in CHORDS.items())
    with worker(broker, received, "--pool=threads", "-c4", app=APP, variables=variables) as running:
        script = PLAY.format(canvases=canvases)
        ids: dict[str, str] = json.loads(published(script, broker, received, **variables))
        running.wait_for(
            lambda: all(f"[{task}] succeeded" in running.log for task in ids.values()), "the ends"
        )
    for name, (_, size, body_name) in CHORDS.items():
        end, *_ = received.query.spans(where={"messaging.message.id": ids[name]})
        trace = [s for s in received.query.trace(end.trace_id) if s.kind == "consumer"]
        (body,) = [s for s in trace if s.attributes.get("celery.canvas.kind") == "chord_body"]
        header = [
            span.span_id
            for span in trace
            if span.attributes.get("celery.canvas.kind") == "chord"
            and "task.retry.number" not in span.attributes
        ]
        assert (name, body.name, len(header)) == (name, f"run/{APP}.{body_name}", size)
        links = {(link.trace_id, link.span_id) for link in body.links}
        assert links == {(end.trace_id, span_id) for span_id in header}, name
    assert_declared(received)
    roots = [s.name for s in received.query.spans() if s.parent_span_id is None]
    assert sorted(roots) == sorted(
        f"chord {APP}.done"
        if "immutable" in name
        else "chord celery.chain"
        if name == "chain as the body"
        else f"chord {APP}.total"
        for name in CHORDS
    )


def test_chords_in_chords_link_each_to_their_own_header(broker: str, received: Received) -> None:
    """The body of the inner chord is a task of the outer one's header: both links are there."""
    script = """
inner = chord([add.s(1, 2), add.s(3, 4)], total.s())
print(chord([inner, add.s(5, 6)], total.s()).apply_async().get(timeout=100))
"""
    with worker(broker, received, "--pool=threads", "-c2", app=APP) as running:
        assert published(script, broker, received) == "21"
        running.wait_for(lambda: deliveries_of(running.log) >= 5, "the bodies")
    inner, outer = deliveries(received, "total")
    adds = deliveries(received, "add")
    groups = Counter(s.attributes["celery.canvas.group_id"] for s in adds)
    in_inner = [s.span_id for s in adds if groups[s.attributes["celery.canvas.group_id"]] == 2]
    assert len({s.trace_id for s in (inner, outer, *adds)}) == 1
    assert sorted(link.span_id for link in inner.links) == sorted(in_inner)
    (rest,) = {s.span_id for s in adds} - set(in_inner)
    assert sorted(link.span_id for link in outer.links) == sorted([inner.span_id, rest])


def test_canvas_is_told_on_the_spans(broker: str, received: Received) -> None:
    """What each task is in its canvas, whose child, and of which group."""
    script = """
with pipelines.begin_run("daily", organization="acme"):
    results = [
        chain(add.s(1, 2), add.s(3), add.s(4)).apply_async(),
        group(add.s(1, 2), add.s(3, 4)).apply_async(),
        add.starmap([(1, 2), (3, 4)]).apply_async(),
        add.chunks([(n, n) for n in range(4)], 2).apply_async(),
        total.map([[1, 2], [3]]).apply_async(),
    ]
    fail.apply_async(link_error=give_up.s())
[result.get(timeout=100) for result in results]
"""
    with worker(broker, received, "--pool=threads", "-c2", app=APP) as running:
        published(script, broker, received)
        running.wait_for(lambda: deliveries_of(running.log) >= 10, "ten deliveries")
    found = [s for s in received.query.spans() if s.kind == "consumer"]
    assert len({s.trace_id for s in found}) == 1
    kinds: dict[str, list[Span]] = {}
    for span in found:
        kinds.setdefault(str(span.attributes.get("celery.canvas.kind")), []).append(span)
    assert {kind: len(spans) for kind, spans in kinds.items()} == {
        "chain": 3, "group": 2, "starmap": 3, "map": 1, "errback": 1, "None": 1,
    }  # fmt: skip
    first, *rest = kinds["chain"]
    root = first.attributes["messaging.message.id"]
    assert {s.attributes["celery.canvas.root_id"] for s in kinds["chain"]} == {root}
    assert [s.attributes["celery.canvas.parent_id"] for s in rest] == [
        s.attributes["messaging.message.id"] for s in (first, rest[0])
    ]
    assert {s.attributes["celery.canvas.group_index"] for s in kinds["group"]} == {0, 1}
    assert len({s.attributes["celery.canvas.group_id"] for s in kinds["group"]}) == 1
    sizes = [
        (s.attributes["celery.canvas.task"], s.attributes["celery.canvas.size"])
        for s in kinds["starmap"] + kinds["map"]
    ]
    assert sizes == [(f"{APP}.add", 2)] * 3 + [(f"{APP}.total", 2)]
    (errback,) = kinds["errback"]
    (failed,) = kinds["None"]
    assert (
        errback.attributes["celery.canvas.parent_id"] == failed.attributes["messaging.message.id"]
    )
    assert (failed.status, failed.attributes["error.type"]) == ("error", "ValueError")
    assert [event.name for event in failed.events] == ["exception"]
    assert_declared(received)
