"""The sources of the observer that need Celery."""

from __future__ import annotations

from celery import Celery, _state

from etl_telemetry.celery import redbeat
from etl_telemetry.celery.consumers import Consumers
from etl_telemetry.celery.liveness import Liveness
from etl_telemetry.celery.queues import Queues
from etl_telemetry.celery.rabbitmq import Management
from etl_telemetry.config import Config
from etl_telemetry.observer import Source


def sources(config: Config) -> list[Source]:
    """Return what can be read for the current app; nothing where no app was made.

    Imports what beat imports too: the app's modules may add schedules, with queues of their own.
    """
    app = _app()
    if app is None:
        return []
    app.loader.import_default_modules()
    app.finalize()
    found = [
        Source("queues", Queues(app, config.observer_queues).read),
        Source("workers", Liveness(app).read),
    ]
    if not _is_amqp(app):
        found.append(Source("consumers", Consumers(app, config.observer_queues).read))
    # The API of a RabbitMQ that is not the broker tells of other queues.
    elif config.rabbitmq_api is not None:
        management = Management(app, config.rabbitmq_api, config.observer_queues)
        found.append(Source("rabbitmq_api", management.read))
    if redbeat.is_used(app):
        schedules = redbeat.RedBeat(app, tolerance=config.beat_tolerance)
        found.append(Source("redbeat", schedules.read))
    return found


def _is_amqp(app: Celery) -> bool:
    return str(app.connection_for_read().transport.driver_type) == "amqp"


def _app() -> Celery | None:
    """Return the app of the project, without making Celery's default one."""
    apps = _state._get_active_apps()  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    return _state.get_current_app() if apps else None
