"""Audit events in the database: written with the change, chained and exported afterwards."""

from __future__ import annotations

from collections.abc import Callable

from etl_telemetry import audit
from etl_telemetry.config import Config


def problems(config: Config) -> list[str]:
    """Return what is wrong in the audit part of the configuration, now that models are known."""
    if not config.audit_models and not config.audit_hidden_fields:
        return []
    from etl_telemetry.django.audit import watching

    return watching.problems(config.audit_models, config.audit_hidden_fields)


def waiting() -> int:
    """Return how many committed events were not delivered yet, in all databases."""
    from django.db import connections

    from etl_telemetry.django.audit import drain, store

    return sum(drain.waiting(alias) for alias in connections if store.is_migrated(alias))


class _State:
    """How to undo what is connected in this process."""

    __slots__ = ("undo",)

    def __init__(self) -> None:
        self.undo: Callable[[], None] = _nothing


def _nothing() -> None:
    """Undo nothing."""


_state = _State()


def disconnect() -> None:
    """Undo `connect`."""
    _state.undo()
    _state.undo = _nothing


def connect(config: Config) -> None:
    """Keep audit events in the database from now on, automatic ones too; idempotent.

    Also in a process that exports nothing: `createsuperuser` is audited, and another process
    exports it.
    """
    from etl_telemetry.django.audit import changes, memberships, people, requests, store
    from etl_telemetry.django.audit.accounts import Accounts
    from etl_telemetry.django.audit.clients import Proxies
    from etl_telemetry.django.audit.watching import watches

    disconnect()
    audit.set_actor_provider(people.actor, loaded=people.loaded_actor)
    audit.set_tenant_provider(people.Tenant(config.audit_tenant_field))
    undos = [requests.follow(), people.follow()]
    if config.audit_table:
        audit.set_store(store.DatabaseStore())
        accounts = Accounts(Proxies.of(config.audit_proxies))
        accounts.connect()
        watched = watches(
            config.audit_models, config.audit_hidden_fields, config.audit_tenant_field
        )
        undos += [accounts.disconnect, changes.follow(watched), memberships.follow(watched)]

    def undo() -> None:
        audit.set_store(None)
        audit.set_actor_provider(None)
        audit.set_tenant_provider(None)
        for one in reversed(undos):
            one()

    _state.undo = undo
