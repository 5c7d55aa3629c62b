"""Tuples of records that can be asked by name; asking for what is not there says what is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TypeVar

from etl_telemetry.testing.records import AuditEvent, LogRecord, Span

Item = TypeVar("Item")


class Spans(tuple[Span, ...]):
    """Finished spans, in the order in which they ended."""

    __slots__ = ()

    def all_named(self, name: str) -> tuple[Span, ...]:
        """Return the spans called `name`; none is no error."""
        return tuple(span for span in self if span.name == name)

    def named(self, name: str) -> Span:
        """Return the only span called `name`, or raise `AssertionError`: it tells what there is."""
        __tracebackhide__ = True
        return _only(self.all_named(name), what="span", name=name, there=[s.name for s in self])

    def tree(self) -> str:
        """Return names as text, a child below its parent and further in, by their start.

        A span with an error is marked. One whose parent is not here stands at the left.

        >>> load = Span("load", span_id="b", parent_id="a")
        >>> print(Spans([load, Span("run", span_id="a")]).tree())
        run
          load
        """
        known = {span.span_id for span in self}
        children: dict[str | None, list[Span]] = defaultdict(list)
        for span in sorted(self, key=lambda span: span.started_at):
            children[span.parent_id if span.parent_id in known else None].append(span)
        return "\n".join(_lines(children, None, ""))


class Logs(tuple[LogRecord, ...]):
    """Log records without audit events, in the order in which they were made."""

    __slots__ = ()

    def all_named(self, name: str) -> tuple[LogRecord, ...]:
        """Return the records whose event name or message is `name`; none is no error."""
        return tuple(record for record in self if name in (record.event_name, record.body))

    def named(self, name: str) -> LogRecord:
        """Return the only record called `name`, or raise `AssertionError`."""
        __tracebackhide__ = True
        there = [record.event_name or str(record.body) for record in self]
        return _only(self.all_named(name), what="log record", name=name, there=there)


class AuditEvents(tuple[AuditEvent, ...]):
    """Audit events, in the order in which they were recorded."""

    __slots__ = ()

    def all_named(self, name: str) -> tuple[AuditEvent, ...]:
        """Return the events of type `name`; none is no error."""
        return tuple(event for event in self if event.event_type == name)

    def named(self, name: str) -> AuditEvent:
        """Return the only event of type `name`, or raise `AssertionError`."""
        __tracebackhide__ = True
        there = [event.event_type for event in self]
        return _only(self.all_named(name), what="audit event", name=name, there=there)


def listing(names: Iterable[str]) -> str:
    """Return names with their numbers, as text for an error.

    >>> listing(["load", "load", "extract"])
    "'extract', 'load' (2)"
    """
    counts = sorted(Counter(iter(names)).items())  # Of a mapping it would take the values.
    return ", ".join(f"{n!r}" if count == 1 else f"{n!r} ({count})" for n, count in counts)


def _only(found: tuple[Item, ...], *, what: str, name: str, there: list[str]) -> Item:
    __tracebackhide__ = True  # pytest then shows the line of the test
    if len(found) == 1:
        return found[0]
    if found:
        raise AssertionError(
            f"{len(found)} {what}s are called {name!r}, expected one; all_named() gives them all"
        )
    raise AssertionError(f"no {what} is called {name!r}; there are: {listing(there) or 'none'}")


def _lines(children: dict[str | None, list[Span]], parent: str | None, indent: str) -> list[str]:
    lines = []
    for span in children.get(parent, ()):
        lines.append(f"{indent}{span.name}{' [error]' if span.status == 'error' else ''}")
        lines += _lines(children, span.span_id, f"{indent}  ")
    return lines
