"""One request: its span, its queries, its end.

An exchange begins before Django looks at the request and ends when the response is
closed, which the server does after the last byte, also where the client is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from types import TracebackType
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from etl_telemetry import guard, metrics, tracing
from etl_telemetry.catalogue import (
    ERROR_TYPE,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    PIPELINE_RUN_ID,
    UNKNOWN,
    USER_ID,
)
from etl_telemetry.config import Config
from etl_telemetry.django.requests import facts, ingress, streaming
from etl_telemetry.django.requests.limits import Limit
from etl_telemetry.queries import Tally
from etl_telemetry.tracing import Place

DISCONNECTED = "client_disconnected"
"""`error.type` where the client did not wait for the end of the response."""
_SERVER_ERROR = 500
_BODILESS = frozenset((204, 304))
_META = "ETL_TELEMETRY_TRACE_ID"

_log = logging.getLogger("etl_telemetry.django")


class Rules:
    """What set-up decided for all requests."""

    def __init__(self, config: Config, *, make_spans: bool, measure: bool) -> None:
        self.active = True
        """False when the instrumentation was taken away, and others stand around what is left."""
        self.make_spans = make_spans
        """False where another product makes the spans of requests."""
        self.measure = measure
        """False where another product measures them under OpenTelemetry's name."""
        self.ingress = ingress.Ingress(
            trusted=config.trusted_networks, excluded=config.excluded_paths
        )
        self.header = config.trace_id_header
        self.seconds: Limit[float] = Limit(config.slow_request, config.slow_request_routes)
        self.queries: Limit[int] = Limit(config.high_query_count, config.high_query_count_routes)


class Exchange:
    """One request and its response. Entered while Django works on the response."""

    __slots__ = (
        "_context", "_error", "_place", "_request", "_rules", "_span", "_started", "_status",
        "_streams", "_tally", "_wanted",
    )  # fmt: skip

    def __init__(self, request: Any, rules: Rules) -> None:
        self._started = perf_counter()
        self._request = request
        self._rules = rules
        self._error: str | None = None
        self._status: int | None = None
        self._streams = False
        self._place: Place | None = None
        self._span: Span = trace.INVALID_SPAN
        self._wanted = not rules.ingress.excludes(request)
        self._tally = Tally()
        self._context = self._begin()

    def _begin(self) -> Context:
        """Return the context of all that happens for the request."""
        if not self._rules.make_spans:
            return context_api.get_current()
        if not self._wanted:
            return ingress.unseen()
        base, links = self._rules.ingress.context(self._request)
        self._span = tracing.tracer().start_span(
            facts.span_name(facts.method(self._request), None),
            context=base,
            kind=SpanKind.SERVER,
            attributes=facts.attributes(self._request),
            links=links,
        )
        self._request.trace_id = trace_id = self._trace_id()
        if trace_id:
            # Django's debug page and its mail to the admins show it.
            self._request.META[_META] = trace_id
        return trace.set_span_in_context(self._span, base)

    def _trace_id(self) -> str:
        context = self._span.get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else ""

    def __enter__(self) -> None:
        self._place = Place(self._context)
        self._tally.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tally.leave()
        if self._place is not None:
            self._place.leave()
        if error is not None:  # Nobody will see a response, so nobody closes it.
            self.failed(error)
            self.end()

    def failed(self, error: BaseException) -> None:
        """Record what Django could not answer, or answers with its error page."""
        with guard.absorb("recording a request's error"):
            self._error = tracing.type_name(type(error))
            tracing.record_exception(self._span, error)

    def answered(self, response: Any) -> None:
        """Go on with the response, until it is closed."""
        with guard.absorb("following a response"):
            self._status = response.status_code
            header, trace_id = self._rules.header, self._trace_id()
            if header is not None and trace_id and header not in response.headers:
                response.headers[header] = trace_id
            bodiless = self._request.method == "HEAD" or self._status in _BODILESS
            self._streams = streaming.follow(response, self._part, self._complete) and not bodiless
        # What `close()` calls; Django has no public hook for one response.
        response._resource_closers.append(self.end)  # noqa: SLF001 - see above

    def sent(self, error: BaseException | None) -> None:
        """End with what ended the sending under ASGI: None, or the client went away, or an error.

        Where sending fails Django closes no response (`ASGIHandler.handle`).
        """
        if isinstance(error, Exception):
            self.failed(error)
        elif error is not None and self._error is None:
            self._error = DISCONNECTED
        self.end()

    @contextmanager
    def _part(self) -> Iterator[None]:
        """Make one part of a streaming response."""
        place = Place(self._context)
        try:
            with self._tally:
                yield
        except Exception as error:
            self.failed(error)
            raise
        finally:
            place.leave()

    def _complete(self) -> None:
        self._streams = False

    def end(self) -> None:
        """Measure the request, warn where it was slow, and end its span; once."""
        started, self._started = self._started, 0.0
        if started and self._wanted:
            with guard.absorb("ending a request"):
                self._report(perf_counter() - started)
        self._request = None  # They know each other: without this only the collector parts them.

    def _report(self, duration: float) -> None:
        if self._streams and self._error is None:
            self._error = DISCONNECTED
        request, route = self._request, facts.route(self._request)
        told = self._tally.attributes()
        method, error = facts.method(request), self._error_type()
        # Within the span: the record is found by its trace, and the exemplar leads to it.
        place = Place(self._context)
        try:
            self._warn(route, duration, told)
            if self._rules.measure:
                metrics.record_http_request(
                    method, route, self._status, duration,
                    scheme=facts.scheme(request), error_type=error,
                )  # fmt: skip
        finally:
            place.leave()
        if self._span.is_recording():
            self._describe(facts.span_name(method, route), route, error, told)
        self._span.end()

    def _describe(
        self, name: str, route: str | None, error: str | None, told: dict[str, str | int | float]
    ) -> None:
        given = {
            HTTP_ROUTE: route, HTTP_RESPONSE_STATUS_CODE: self._status, ERROR_TYPE: error, **told,
        }  # fmt: skip
        self._span.update_name(name)
        self._span.set_attributes({k: v for k, v in given.items() if v is not None})
        if self._error is None and error is not None:
            self._span.set_status(Status(StatusCode.ERROR))

    def _error_type(self) -> str | None:
        """Return the type of the error: of the exception, else the status of a server error."""
        if self._error is not None:
            return self._error
        failed = self._status is not None and self._status >= _SERVER_ERROR
        return str(self._status) if failed else None

    def _warn(self, route: str | None, duration: float, told: dict[str, Any]) -> None:
        slow = duration > self._rules.seconds[route]
        many = self._tally.number > self._rules.queries[route]
        if not (slow or many):
            return
        given = {
            HTTP_ROUTE: route or UNKNOWN,
            HTTP_REQUEST_METHOD: facts.method(self._request),
            HTTP_RESPONSE_STATUS_CODE: self._status,
            "duration": duration,
            USER_ID: facts.user_id(self._request),
            PIPELINE_RUN_ID: self._tally.run_id,
            **told,
        }
        fields = {key: value for key, value in given.items() if value is not None}
        if slow:
            _log.warning("slow_request", extra=fields)
        if many:
            _log.warning("high_query_count", extra=fields)
