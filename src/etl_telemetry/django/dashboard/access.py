"""Which pipelines a user sees: those of its organizations. By default that is none.

Pipelines are found by keys, alerts by the name of an organization only. A name that says not for
certain whose an alert is opens none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.db import router

from etl_telemetry import guard, setup
from etl_telemetry.catalogue import OTHER, UNKNOWN, DropReason
from etl_telemetry.config import Config
from etl_telemetry.django import mapping
from etl_telemetry.django.mapping import Models


@dataclass(frozen=True, slots=True)
class Access:
    """The organizations whose pipelines somebody may see."""

    organizations: tuple[Any, ...] | None
    """Keys of organizations, or names where no model is mapped; None: all there are."""
    names: tuple[str, ...] | None
    """Those of their names by which alerts can be told to be theirs; None: all."""

    @property
    def sees_all(self) -> bool:
        """Whether nothing is hidden: the platform's own alerts included."""
        return self.organizations is None

    @property
    def sees_any(self) -> bool:
        """Whether there is anything to see."""
        return self.organizations is None or bool(self.organizations)


ALL = Access(None, None)
"""Everything: what the function `dashboard_access` returns for who sees all."""
_NOTHING = Access((), ())
_ANYBODYS = {OTHER, UNKNOWN}
"""What labels say instead of a name: it may be anybody's."""


def config() -> Config:
    """Return the configuration of this process."""
    telemetry = setup.active()
    return Config() if telemetry is None else telemetry.config


def of(user: Any) -> Access:
    """Return what a user may see, with at most two queries of ours.

    The rule: a superuser sees all, unless `dashboard_superusers` is off. Else the function
    `dashboard_access` decides; without it membership does, as `MODELS["organization"]["members"]`
    tells; without both nobody sees anything. `is_staff` means nothing here.
    """
    told = config()
    if not user.is_active:
        return _NOTHING
    if told.dashboard_superusers and getattr(user, "is_superuser", False):
        return ALL
    models = mapping.current()
    if told.dashboard_access is not None:
        return _named(models, function(told.dashboard_access)(user))
    return _member(models, user)


def function(path: str) -> Any:
    """Import `package.module:name`. Raises `ImportError` or `AttributeError`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _named(models: Models, given: object) -> Access:
    """Return access to what a function of the host returned; nothing where that is no answer."""
    if given is ALL:
        return ALL
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        detail = (
            "dashboard_access must return organizations or dashboard.ALL, got "
            f"{type(given).__name__}: nothing is shown"
        )
        guard.drop(DropReason.INVALID_VALUE, detail=detail)
        return _NOTHING
    keys = [getattr(one, "pk", one) for one in given]
    if models.organization is None:
        return _plain(keys)
    return _found(models, {"pk__in": keys})


def _member(models: Models, user: Any) -> Access:
    members = None if models.organization is None else models.organization.get("members")
    if members is None:
        return _NOTHING
    return _found(models, {members: user.pk})


def _plain(names: Iterable[Any]) -> Access:
    found = tuple(dict.fromkeys(str(name) for name in names if name))
    return Access(found, tuple(name for name in found if name not in _ANYBODYS))


def _found(models: Models, condition: dict[str, Any]) -> Access:
    """Ask for keys and names, where the runs are, and for who else bears such a name."""
    if models.organization is None:
        return _NOTHING
    alias, name = router.db_for_read(models.run.model), models.organization["name"]
    every = models.organization.model._base_manager.using(alias).order_by()
    found = dict(every.filter(**condition).values_list("pk", name))
    bearers = every.filter(**{f"{name}__in": set(found.values())}).values_list("pk", name)
    # A database that does not tell cases apart does not do so with alerts either.
    shared = {str(told).casefold() for key, told in bearers if key not in found}
    names = {str(told) for told in found.values() if told} - _ANYBODYS
    certain = tuple(sorted(told for told in names if told.casefold() not in shared))
    return Access(tuple(found), certain)
