"""The life of telemetry in a process tree: install once, rebuild per process, end in time."""

from __future__ import annotations

import atexit
import logging
import multiprocessing.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricsData

from etl_telemetry import guard, values
from etl_telemetry.catalogue import (
    BUILD_DATE,
    DROPS,
    ENVIRONMENT,
    PLATFORM_INFO,
    REASON,
    SCOPE,
    VERSION,
    DropReason,
)
from etl_telemetry.config import Config
from etl_telemetry.metrics import rebuild
from etl_telemetry.runtime import exporters
from etl_telemetry.runtime.build import build_signals
from etl_telemetry.runtime.collecting import Postponed
from etl_telemetry.runtime.current import Current, Signals
from etl_telemetry.runtime.loggers import DelegatingLoggerProvider
from etl_telemetry.runtime.meters import DelegatingMeterProvider
from etl_telemetry.runtime.quiet import quieten_exporters
from etl_telemetry.runtime.relay import named
from etl_telemetry.runtime.relay.relay import Relay
from etl_telemetry.runtime.resource import build_resource, detect
from etl_telemetry.runtime.traces import DelegatingTracerProvider

_LINUX = sys.platform == "linux"
_MAX_DEADLINE = 86_400.0  # Locks refuse more than they can count.
_log = logging.getLogger("etl_telemetry")


class Lifecycle:
    """Own the telemetry of this process and of every process it forks.

    The providers that the API holds are ours and are set once; the SDK objects
    behind them are built at the first use in each process, and never cross a
    fork.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._detected = detect(config)
        self._postponed = Postponed()
        self._current = Current(self._build)
        self._ending = threading.RLock()
        self._lost: list[str] = []
        self._traces = DelegatingTracerProvider(self._current)
        self._metrics = DelegatingMeterProvider(self._current, self._postponed)
        self._logs = DelegatingLoggerProvider(self._current)
        self.relay: Relay | None = None
        """Hands telemetry over to the process that began it, in that process' children."""

    def prepare(self) -> None:
        """Build what this process needs now, instead of at its first use."""
        self._current.get()

    def begin_relay(self) -> Relay | None:
        """Make this process export for all that it forks from here on; None where that cannot be.

        The caller begins to read (`Relay.begin`), before the first fork.
        """
        if self.relay is not None and self.relay.is_joined:
            self._leave_relay()  # This process is one itself.
        if self.relay is None and self._may_relay():
            with suppress(OSError):  # No descriptor left, or a sandbox that allows none.
                self.relay = Relay(self._current)
        return self.relay

    def _join_relay(self) -> None:
        """Hand over to a relay of this service that runs on this host, where one answers."""
        path = self.config.relay_socket
        if path is not None and self.config.relay and self._may_relay():
            joined = named.connect(Path(path), self.config.service_name)
            if joined is not None:
                self.relay = Relay(self._current, joined=joined)

    def _leave_relay(self) -> None:
        """Export from here on."""
        relay, self.relay = self.relay, None
        signals = self._current.renew()
        if signals is not None:
            signals.discard()
        if relay is not None:
            relay.leave()

    def _relay_is_gone(self) -> None:
        if self.relay is not None and self.relay.is_joined and not self._current.closed:
            self._leave_relay()

    def _may_relay(self) -> bool:
        # Linux: elsewhere there is no SOCK_SEQPACKET, or nothing that tells of a process' end.
        signals = ("traces", "metrics", "logs")
        return _LINUX and any(exporters.is_on(name, self.config) for name in signals)

    def install(self) -> tuple[str, ...]:
        """Set the API's providers and the hooks of a process' life.

        Returns the signals of which another distribution already holds the
        provider: there we cooperate, and its fork behaviour holds, not ours.
        """
        exporters.load(self.config)
        self._join_relay()
        # Before anything that a fork in another thread could take along half made.
        os.register_at_fork(after_in_child=self._after_fork_in_child)
        foreign = self._set_providers()
        quieten_exporters()
        self._observe()
        # Children of multiprocessing run no exit handlers but these.
        multiprocessing.util.register_after_fork(self, _finalize_child)
        if multiprocessing.parent_process() is not None:
            _finalize_child(self)
        _hook_uwsgi(self._after_fork_in_child, self.shutdown)
        atexit.register(self.shutdown)
        return foreign

    @property
    def has_ended(self) -> bool:
        """Whether `shutdown` was called: whatever comes now goes nowhere."""
        return self._current.closed

    def force_flush(self, deadline: float | None = None) -> bool:
        """Export what waits; True if all of it was delivered within `deadline` seconds.

        False after the end.
        """
        signals = self._current.signals
        if signals is None:
            return not self.has_ended
        end = time.monotonic() + self._limit(deadline)
        if self.relay is not None:
            self.relay.settle(end)
        pending = [way.flush() for way in signals.ways()]  # All at once; then wait for each.
        return False not in [flush.wait(end) for flush in pending]

    def shutdown(self, deadline: float | None = None) -> bool:
        """End the telemetry of this process: one deadline for the three signals together.

        The order is traces, logs, metrics: the last collection carries the counts
        of what the first two could not deliver. Returns True if everything was
        delivered. Afterwards every call is a cheap no-op.
        """
        limit = self._limit(deadline)
        end = time.monotonic() + limit
        # Whoever comes second waits for the first, or its exit would end the export. Re-entrant,
        # since a signal handler may come in between: that one must not wait.
        if not self._ending.acquire(timeout=limit):
            return False
        try:
            if self.relay is not None:
                self.relay.finish(end - limit / 2)
            signals = self._current.close(limit)
            if signals is not None:
                self._lost = _close(signals, end, limit)
                signals.disconnect()
                if self._lost:
                    names = ", ".join(self._lost)
                    fields = {"signals": names, "deadline": limit}
                    _log.warning("telemetry_not_delivered", extra=fields)
            return not self._lost
        finally:
            self._ending.release()

    def restart(self) -> None:
        """Build new SDK objects, whose sums begin at zero as in a new process; drop the old ones.

        For `etl_telemetry.testing`: what one test did is not in the next one's telemetry.
        """
        signals = self._current.renew()
        if signals is not None:
            signals.discard()
        if self.relay is not None:
            self.relay.store.clear()
        self._postponed.after_fork_in_child()
        self._lost = []
        rebuild.reset_after_fork()
        guard.reset_after_fork()
        self._current.get()  # Observed gauges are there before anything else is recorded.

    def _limit(self, deadline: float | None) -> float:
        seconds = self.config.deadline if deadline is None else values.seconds(deadline)
        if seconds is None:
            guard.drop(DropReason.INVALID_VALUE, detail="a deadline must be seconds >= 0")
            seconds = self.config.deadline
        return min(seconds, _MAX_DEADLINE)

    def _build(self, forks: int) -> Signals:
        relay = self.relay
        if relay is not None and relay.is_child:
            handing = relay.build(
                self.config,
                build_resource(self.config, self._detected, forks=forks),
                postponed=self._postponed,
                populate=self._metrics.populate,
                gone=self._relay_is_gone,
            )
            if self.relay is relay:
                return handing
            handing.discard()  # Nobody reads any more: the relay was left while this was built.
        return build_signals(
            self.config,
            self._detected,
            forks=forks,
            postponed=self._postponed,
            populate=self._metrics.populate,
            merge=self._merged,
        )

    def _merged(
        self, data: MetricsData, temporalities: Mapping[Any, AggregationTemporality]
    ) -> MetricsData:
        return data if self.relay is None else self.relay.store.merged(data, temporalities)

    def _observe(self) -> None:
        """Report what every process reports about itself, when it collects anyway."""
        labels = {
            VERSION: self.config.service_version,
            ENVIRONMENT: self.config.environment,
            BUILD_DATE: self.config.build_date,
        }
        meter = self._metrics.get_meter(SCOPE)
        meter.create_observable_counter(DROPS.name, [_observe_drops], DROPS.unit, DROPS.description)
        meter.create_observable_gauge(
            PLATFORM_INFO.name,
            [lambda _: [Observation(1, labels)]],
            PLATFORM_INFO.unit,
            PLATFORM_INFO.description,
        )

    def _set_providers(self) -> tuple[str, ...]:
        foreign = []
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._traces)
        else:
            foreign.append("traces")
        if type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider":
            metrics.set_meter_provider(self._metrics)
        else:
            foreign.append("metrics")
        if type(get_logger_provider()).__name__ == "ProxyLoggerProvider":
            set_logger_provider(self._logs)
        else:
            foreign.append("logs")
        return tuple(foreign)

    def _after_fork_in_child(self) -> None:
        if self.relay is not None:
            self.relay.after_fork_in_child()
        self._current.after_fork_in_child()
        self._postponed.after_fork_in_child()
        self._ending = threading.RLock()
        self._lost = []
        rebuild.reset_after_fork()


def _close(signals: Signals, end: float, limit: float) -> list[str]:
    """Close the three ways out; return the names of those that did not deliver."""
    # The metrics need a moment of their own at the end, even when the others hang.
    early = end - limit / 4
    lost = []
    batchers = {"traces": signals.spans, "logs": signals.records}
    closing = [(name, way, way.close()) for name, way in batchers.items() if way]
    for name, way, pending in closing:
        if not pending.wait(early):
            way.abandon()
            lost.append(name)
    if signals.collector is not None and not signals.collector.close().wait(end):
        lost.append("metrics")
    return lost


def _finalize_child(lifecycle: Lifecycle) -> None:
    multiprocessing.util.Finalize(lifecycle, lifecycle.shutdown, exitpriority=-100)


def _hook_uwsgi(after_fork: Callable[[], None], shutdown: Callable[[], bool]) -> None:
    """Under uWSGI, which by default runs no fork hooks (opentelemetry-python#2266)."""
    with suppress(ImportError):
        uwsgi: Any = import_module("uwsgi")  # Exists inside uWSGI only.
        decorators: Any = import_module("uwsgidecorators")
        before = getattr(uwsgi, "atexit", None)

        def at_exit() -> None:
            shutdown()
            if before is not None:
                before()

        decorators.postfork(after_fork)
        uwsgi.atexit = at_exit


def _observe_drops(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(count, {REASON: reason}) for reason, count in guard.drops().items()]
