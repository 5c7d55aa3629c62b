"""gunicorn: its master exports for its workers, so that workers may come and go.

In `gunicorn.conf.py`:

    from etl_telemetry.gunicorn import on_starting

Workers that are recycled (`max_requests`), killed for a timeout or replaced then leave no series of
their own, and lose nothing that had finished. See docs/explanation/relay.md.
"""

from __future__ import annotations

from typing import Any

from etl_telemetry.setup import lifecycle, setup_telemetry


def on_starting(server: Any) -> None:
    """Set telemetry up in the master, and make it the relay of its workers.

    The master's configuration is that of all workers: it comes from the environment, and from the
    Django setting where `DJANGO_SETTINGS_MODULE` is in the environment. Where another hook of
    yours has this name, call this one in it. Raises `ConfigurationError` as `setup_telemetry()`.

    >>> from etl_telemetry import gunicorn
    >>> gunicorn.on_starting.__name__
    'on_starting'
    """
    del server  # What gunicorn hands to each of its hooks.
    config = setup_telemetry().config
    life = lifecycle()
    if life is None or not config.relay:
        return
    relay = life.begin_relay()
    if relay is not None:
        relay.begin()
