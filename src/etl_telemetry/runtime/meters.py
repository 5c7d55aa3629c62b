"""Meter provider that stays the same while SDK objects come and go (see `traces`).

Instruments cached by any library keep working in a forked child: each looks up
the SDK instrument of its process again after a rebuild, and begins at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider

from etl_telemetry import guard
from etl_telemetry.catalogue import SCOPE, DropReason
from etl_telemetry.runtime.collecting import Postponed
from etl_telemetry.runtime.current import Current

_CARDINALITY_LIMIT = 2_000
_OVERFLOW = {"otel.metric.overflow": True}


@dataclass(frozen=True, slots=True)
class _Definition:
    """Everything that is needed to make an SDK instrument again."""

    scope: tuple[Any, ...]
    """Arguments of `get_meter`."""
    factory: str
    """Name of the meter's method."""
    arguments: dict[str, Any]
    """Its keyword arguments."""

    def create(self, provider: SdkMeterProvider) -> Any:
        return getattr(provider.get_meter(*self.scope), self.factory)(**self.arguments)


class DelegatingMeterProvider(metrics.MeterProvider):
    """Forward to the SDK meter provider of the current process."""

    def __init__(self, current: Current, postponed: Postponed) -> None:
        self._current = current
        self._postponed = postponed
        self._observables: list[_Definition] = []

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> metrics.Meter:
        """Return a meter that outlives the SDK objects behind it."""
        return _Meter(self, (name, version, schema_url, attributes))

    def populate(self, provider: SdkMeterProvider) -> None:
        """Create in a new SDK provider every observable instrument asked for so far."""
        for definition in tuple(self._observables):
            with guard.absorb(f"creating the instrument {definition.arguments['name']}"):
                definition.create(provider)

    def recording(self, definition: _Definition, method: str) -> _Recording:
        """Return the hot path of one synchronous instrument."""
        # Our own labels are bounded one by one, where they are written (`metrics.labels`).
        kind = _Recording if definition.scope[0] == SCOPE else _BoundedRecording
        return kind(self._current, self._postponed, definition, method)

    def observe(self, definition: _Definition) -> None:
        """Remember an observable instrument for this process and every one to come."""
        self._observables.append(definition)
        signals = self._current.signals
        if signals is not None and signals.metrics is not None:
            definition.create(signals.metrics)


class _Recording:
    """One synchronous instrument: its definition, and the SDK method of this process."""

    __slots__ = ("_bound_to", "_current", "_definition", "_inside", "_method", "_name", "_postpone")

    def __init__(
        self, current: Current, postponed: Postponed, definition: _Definition, name: str
    ) -> None:
        self._current = current
        self._inside = postponed.inside
        self._postpone = postponed.add
        self._definition = definition
        self._name = name
        self._bound_to: object = self  # Like no signals: bind at the first call.
        self._method: Callable[..., None] = _nothing

    def __call__(
        self, value: float, attributes: Any = None, context: Context | None = None
    ) -> None:
        # Hot path: every measurement of the process (tests/benchmarks/bench_runtime.py).
        inside = self._inside
        if inside.busy:
            self._postpone(self._record, value, attributes, context)
            return
        inside.busy = True
        try:
            self._record(value, attributes, context)
        finally:
            inside.busy = False

    def _record(self, value: float, attributes: Any, context: Context | None) -> None:
        if self._current.signals is not self._bound_to:
            self._bind()
        self._method(value, attributes, context)

    def _bind(self) -> None:
        signals = self._current.get()
        provider = None if signals is None else signals.metrics
        method: Callable[..., None] = _nothing
        if provider is not None:
            with guard.absorb(f"creating the instrument {self._definition.arguments['name']}"):
                method = getattr(self._definition.create(provider), self._name)
        elif signals is None and not self._current.closed:
            # The SDK objects are being built, and a destructor measures meanwhile.
            method = partial(self._postpone, self._record)
        # The method before the mark: a thread that sees the mark must find the method.
        self._method = method
        self._bound_to = signals


class _BoundedRecording(_Recording):
    """An instrument of another library: at most 2,000 sets of attributes, then one for the rest.

    The Python SDK has no cardinality limit (trap 15), so a label such as the Host
    header of a request would fill memory and backend. Limit and overflow attribute
    are those of the OpenTelemetry specification; delete this when the SDK has them.
    """

    __slots__ = ("_sets",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._sets: set[Hashable] = set()

    def _record(self, value: float, attributes: Any, context: Context | None) -> None:
        if self._current.signals is not self._bound_to:
            self._bind()
        if attributes:
            key = _key(attributes)
            if key not in self._sets and not self._admit(key):
                attributes = _OVERFLOW
        self._method(value, attributes, context)

    def _admit(self, key: Hashable) -> bool:
        if len(self._sets) < _CARDINALITY_LIMIT:
            self._sets.add(key)
            return True
        name = self._definition.arguments["name"]
        guard.drop(
            DropReason.LABEL_OVERFLOW,
            detail=f"{name} has more than {_CARDINALITY_LIMIT} sets of attributes",
        )
        return False

    def _bind(self) -> None:
        self._sets.clear()  # A new process, or a new SDK object: all its series are new.
        super()._bind()


def _key(attributes: Any) -> Hashable:
    try:
        return frozenset(attributes.items())
    except TypeError:  # A list among the values.
        return frozenset((key, str(value)) for key, value in attributes.items())


class _Meter(metrics.Meter):
    """Make instruments that record through the delegating provider."""

    def __init__(self, owner: DelegatingMeterProvider, scope: tuple[Any, ...]) -> None:
        super().__init__(*scope[:3])
        self._owner = owner
        self._scope = scope

    def create_counter(self, name: str, unit: str = "", description: str = "") -> metrics.Counter:
        """Return a counter."""
        return _Counter(self._recording("create_counter", "add", name, unit, description))

    def create_up_down_counter(
        self, name: str, unit: str = "", description: str = ""
    ) -> metrics.UpDownCounter:
        """Return an up-down counter."""
        return _UpDownCounter(
            self._recording("create_up_down_counter", "add", name, unit, description)
        )

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> metrics._Gauge:
        """Return a gauge."""
        return _Gauge(self._recording("create_gauge", "set", name, unit, description))

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> metrics.Histogram:
        """Return a histogram."""
        advisory = {"explicit_bucket_boundaries_advisory": explicit_bucket_boundaries_advisory}
        return _Histogram(
            self._recording("create_histogram", "record", name, unit, description, **advisory)
        )

    def create_observable_counter(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> metrics.ObservableCounter:
        """Register callbacks of a counter."""
        self._observe("create_observable_counter", callbacks, name, unit, description)
        return metrics.NoOpMeter(name).create_observable_counter(name)

    def create_observable_up_down_counter(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> metrics.ObservableUpDownCounter:
        """Register callbacks of an up-down counter."""
        self._observe("create_observable_up_down_counter", callbacks, name, unit, description)
        return metrics.NoOpMeter(name).create_observable_up_down_counter(name)

    def create_observable_gauge(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> metrics.ObservableGauge:
        """Register callbacks of a gauge."""
        self._observe("create_observable_gauge", callbacks, name, unit, description)
        return metrics.NoOpMeter(name).create_observable_gauge(name)

    def _recording(
        self, factory: str, method: str, name: str, unit: str, description: str, **more: Any
    ) -> _Recording:
        arguments = {"name": name, "unit": unit, "description": description, **more}
        return self._owner.recording(_Definition(self._scope, factory, arguments), method)

    def _observe(
        self, factory: str, callbacks: Any, name: str, unit: str, description: str
    ) -> None:
        arguments = {
            "name": name,
            "unit": unit,
            "description": description,
            "callbacks": [_guarded(callback, name) for callback in callbacks or ()],
        }
        self._owner.observe(_Definition(self._scope, factory, arguments))


# The API's abstract classes want methods of the class; the instance attribute
# that shadows them saves a call on the hot path.


class _Counter(metrics.Counter):
    def __init__(self, recording: _Recording) -> None:
        self.add = recording  # type: ignore[assignment,method-assign]

    def add(self, amount: Any, attributes: Any = None, context: Any = None) -> None:
        """Add `amount` >= 0."""


class _UpDownCounter(metrics.UpDownCounter):
    def __init__(self, recording: _Recording) -> None:
        self.add = recording  # type: ignore[assignment,method-assign]

    def add(self, amount: Any, attributes: Any = None, context: Any = None) -> None:
        """Add `amount`."""


class _Gauge(metrics._Gauge):  # noqa: SLF001 - the API exports its gauge by this name
    def __init__(self, recording: _Recording) -> None:
        self.set = recording  # type: ignore[assignment,method-assign]

    def set(self, amount: Any, attributes: Any = None, context: Any = None) -> None:
        """Set to `amount`."""


class _Histogram(metrics.Histogram):
    def __init__(self, recording: _Recording) -> None:
        self.record = recording  # type: ignore[assignment,method-assign]

    def record(self, amount: Any, attributes: Any = None, context: Any = None) -> None:
        """Record `amount`."""


def _nothing(value: Any, attributes: Any = None, context: Any = None) -> None:
    """Stand in while there is no SDK."""


def _guarded(callback: Any, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """Keep a callback that raises from ending the collection of everything else."""
    if isinstance(callback, Generator):
        next(callback)  # The API's generator form: each `send` answers one collection.
        callback = callback.send

    def observe(options: CallbackOptions) -> Iterable[Observation]:
        with guard.absorb(f"observing {name}"):
            return list(callback(options))
        return []

    return observe
