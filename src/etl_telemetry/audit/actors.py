"""Who acts, and for which tenant: named by the application, by a message, or by a provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from etl_telemetry import values
from etl_telemetry.errors import AuditError

Provider = Callable[[], object]
"""Return the id of the user, or of the tenant, for whom the current code runs, or None."""

_VERSION = 1
_MAX_TEXT = 1_024
_MAX_HEADER = 16_384


@dataclass(frozen=True, slots=True)
class Acting:
    """Who really does what the current code does.

    >>> Acting.from_header(Acting(actor="7", organization="acme").to_header())
    Acting(actor='7', organization='acme')
    """

    actor: str | None = None
    """Id of the user or program; None where nobody is named."""
    organization: str | None = None
    """Id of the tenant; None where none is named."""

    def to_header(self) -> str:
        """Return it as text for a message header (`catalogue.ACTOR_HEADER`): versioned JSON."""
        told = {"actor": self.actor, "organization": self.organization}
        return json.dumps({"v": _VERSION, **{k: v for k, v in told.items() if v is not None}})

    @classmethod
    def from_header(cls, header: object) -> Acting | None:
        """Return what `to_header` wrote; None for what another release or program wrote."""
        # By `type`: `isinstance` asks the value itself, which may be a lazy object that fails.
        if type(header) is not str or len(header) > _MAX_HEADER:
            return None
        try:
            told = json.loads(header)
        except (ValueError, RecursionError):
            return None
        if not isinstance(told, dict) or told.get("v") != _VERSION:
            return None
        return cls(_given(told.get("actor")), _given(told.get("organization")))


_NOBODY = Acting()
_current: ContextVar[Acting | None] = ContextVar("etl_telemetry_acting", default=None)


@contextmanager
def acting(
    actor: str | int | None = None, *, organization: str | int | None = None
) -> Iterator[None]:
    """Name who acts inside of the block, and for which tenant.

    For imports, commands, and users who act for others. What is left out stays as it was
    around the block. Tasks that are published inside carry it on.

    >>> with acting(7, organization="acme"):
    ...     carried()
    Acting(actor='7', organization='acme')
    """
    before = _current.get()
    outer = before or _NOBODY
    attach(
        Acting(
            outer.actor if actor is None else values.text(actor),
            outer.organization if organization is None else values.text(organization),
        )
    )
    try:
        yield
    finally:  # No token: a generator may be closed in another context than it began in.
        _current.set(before)


def attach(who: Acting | None) -> Acting | None:
    """Make `who` the one who acts, and return who was before, for the next `attach`.

    >>> before = attach(Acting("7"))
    >>> attach(before)
    Acting(actor='7', organization=None)
    """
    before = _current.get()
    _current.set(who)
    return before


def carried() -> Acting | None:
    """Return who acts, as a message may carry it on, or None; never looks anything up.

    >>> carried() is None
    True
    """
    known = _current.get() or _NOBODY
    actor = known.actor or _asked(_providers.loaded)
    organization = known.organization or _asked(_providers.tenant)
    return Acting(actor, organization) if actor or organization else None


def current_actor() -> object:
    """Return the actor of an event that names none, or None."""
    known = (_current.get() or _NOBODY).actor
    return known if known is not None else _ask(_providers.actor, "actor", "set_actor_provider()")


def current_organization() -> object:
    """Return the tenant of an event that names none, or None."""
    known = (_current.get() or _NOBODY).organization
    if known is not None:
        return known
    return _ask(_providers.tenant, "organization", "set_tenant_provider()")


def set_actor_provider(provider: Provider | None, *, loaded: Provider | None = None) -> None:
    """Set who is asked for the actor of an event that names none; None: nobody.

    `loaded` answers the same where the actor is only passed on, in a message: it must
    not look anything up. The Django part sets both.

    >>> set_actor_provider(lambda: None)
    """
    for given in (provider, loaded):
        if given is not None and not callable(given):
            raise TypeError(f"an actor provider must be a function or None, got {given!r}")
    _providers.actor, _providers.loaded = provider, loaded


def set_tenant_provider(provider: Provider | None) -> None:
    """Set who is asked for the tenant of an event that names none; None: nobody.

    It must not look anything up: it is asked for each message too.

    >>> set_tenant_provider(None)
    """
    if provider is not None and not callable(provider):
        raise TypeError(f"a tenant provider must be a function or None, got {provider!r}")
    _providers.tenant = provider


class _Providers:
    """Hold the providers of this process."""

    __slots__ = ("actor", "loaded", "tenant")

    def __init__(self) -> None:
        self.actor: Provider | None = None
        self.loaded: Provider | None = None
        self.tenant: Provider | None = None


_providers = _Providers()


def _ask(provider: Provider | None, what: str, setter: str) -> object:
    if provider is None:
        return None
    try:
        return provider()
    except Exception as error:
        raise AuditError(
            f"the {what} provider failed with {type(error).__name__}: name the {what} of the "
            f"audit event, or mend the function given to {setter}"
        ) from error


def _asked(provider: Provider | None) -> str | None:
    found = None if provider is None else provider()
    return None if found is None else values.text(found)


def _given(value: object) -> str | None:
    return values.text(value, limit=_MAX_TEXT) if isinstance(value, str) and value else None
