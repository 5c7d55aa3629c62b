"""Which pipelines a user sees: those of its organizations. By default that is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.db import router

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.django import mapping
from etl_telemetry.django.mapping import Models


@dataclass(frozen=True, slots=True)
class Access:
    """The organizations whose pipelines somebody may see."""

    organizations: tuple[Any, ...] | None
    """Keys of organizations, or names where no model is mapped; None: all there are."""
    names: tuple[str, ...] | None
    """Their names, as alerts tell them; None: all."""

    @property
    def sees_all(self) -> bool:
        """Whether nothing is hidden: the platform's own alerts included."""
        return self.organizations is None

    @property
    def sees_any(self) -> bool:
        """Whether there is anything to see."""
        return self.organizations is None or bool(self.organizations)


ALL = Access(None, None)


def config() -> Config:
    """Return the configuration of this process."""
    telemetry = setup.active()
    return Config() if telemetry is None else telemetry.config


def of(user: Any) -> Access:
    """Return what a user may see, with at most one query of ours.

    The rule: a superuser sees all, unless `dashboard_superusers` is off. Else the function
    `dashboard_access` decides; without it membership does, as `MODELS["organization"]["members"]`
    tells; without both nobody sees anything. `is_staff` means nothing here.
    """
    told = config()
    if not user.is_active:
        return Access((), ())
    if told.dashboard_superusers and getattr(user, "is_superuser", False):
        return ALL
    models = mapping.current()
    if told.dashboard_access is not None:
        given = function(told.dashboard_access)(user)
        return ALL if given is None else _named(models, given)
    return _member(models, user)


def function(path: str) -> Any:
    """Import `package.module:name`. Raises `ImportError` or `AttributeError`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _named(models: Models, given: Iterable[Any]) -> Access:
    """Return access to what a function of the host returned."""
    keys = [getattr(one, "pk", one) for one in given]
    if models.organization is None:
        return _plain(keys)
    return _found(models, {"pk__in": keys})


def _member(models: Models, user: Any) -> Access:
    members = None if models.organization is None else models.organization.get("members")
    if members is None:
        return Access((), ())
    return _found(models, {members: user.pk})


def _plain(names: Iterable[Any]) -> Access:
    found = tuple(dict.fromkeys(str(name) for name in names if name))
    return Access(found, found)


def _found(models: Models, condition: dict[str, Any]) -> Access:
    """Ask for keys and names, where the runs are."""
    if models.organization is None:
        return Access((), ())
    alias = router.db_for_read(models.run.model)
    organizations = models.organization.model._base_manager.using(alias).filter(**condition)
    found = dict(organizations.order_by().values_list("pk", models.organization["name"]))
    return Access(tuple(found), tuple(str(name) for name in found.values()))
