"""Every error that this library raises, under one root class."""

from __future__ import annotations

from collections.abc import Sequence


class TelemetryError(Exception):
    """Root of all errors that this library raises."""


class ConfigurationError(TelemetryError):
    r"""Tell every wrong value of a configuration at once.

    Raised at start-up only, so that a process with a wrong configuration never
    serves.

    >>> str(ConfigurationError(["deadline must be positive, got -1 (from options)"]))
    'etl-telemetry: 1 wrong value:\n  - deadline must be positive, got -1 (from options)'
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        noun = "value" if len(self.problems) == 1 else "values"
        head = f"etl-telemetry: {len(self.problems)} wrong {noun}:"
        super().__init__("\n  - ".join([head, *self.problems]))


class MissingExtraError(TelemetryError):
    """Tell which extra is missing, why it is needed and how to install it.

    >>> print(MissingExtraError(extra="redis", needed_for="instrumenting redis", missing="redis"))
    etl-telemetry: instrumenting redis needs the package 'redis', which is not installed.
    Install it with:
        pip install 'etl-telemetry[redis]'
    """

    def __init__(self, *, extra: str, needed_for: str, missing: str) -> None:
        self.extra = extra
        super().__init__(
            f"etl-telemetry: {needed_for} needs the package {missing!r}, which is not installed.\n"
            f"Install it with:\n"
            f"    pip install 'etl-telemetry[{extra}]'"
        )


class AuditError(TelemetryError):
    """Tell that an audit event could not be written.

    Audit is the one part that raises into the application: an action that must
    be audited must not happen unaudited.
    """


class LedgerError(TelemetryError):
    """Tell that a run cannot be ended as asked: nothing was changed.

    The change of a run's state is the application's own, so it must hear of it.
    """
