"""Sign in, sign out, and sign-ins that fail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model, signals
from django.db import connections
from django.http import HttpRequest

from etl_telemetry import audit
from etl_telemetry.audit import AuditEvent
from etl_telemetry.catalogue import UNKNOWN
from etl_telemetry.django.audit import requests, store
from etl_telemetry.django.audit.clients import Proxies, client
from etl_telemetry.django.audit.models import AuditRow

_UID = "etl_telemetry.audit"


class Accounts:
    """Receivers of the signals of `django.contrib.auth`."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._pairs = (
            (signals.user_logged_in, self.logged_in),
            (signals.user_logged_out, self.logged_out),
            (signals.user_login_failed, self.login_failed),
        )

    def connect(self) -> None:
        """Follow the signals; once is enough, more does no harm."""
        for signal, receiver in self._pairs:
            signal.connect(receiver, weak=False, dispatch_uid=_UID)

    def disconnect(self) -> None:
        """Undo `connect`."""
        for signal, _ in self._pairs:
            signal.disconnect(dispatch_uid=_UID)

    def logged_in(self, *, request: HttpRequest | None, user: Any, **_: object) -> None:
        """Keep that a user signed in."""
        self._keep("user_login", user, request)

    def logged_out(self, *, request: HttpRequest | None, user: Any, **_: object) -> None:
        """Keep that a user signed out; who was not signed in did not."""
        if user is not None and getattr(user, "is_authenticated", False):
            self._keep("user_logout", user, request)

    def login_failed(
        self, *, credentials: dict[str, Any], request: HttpRequest | None = None, **_: object
    ) -> None:
        """Keep that a sign-in failed, also where the request is rolled back afterwards.

        It is no change: a rollback does not undo that somebody tried.
        """
        name = _user_name(credentials)
        event = audit.made(
            "user_login_failed",
            actor=UNKNOWN,
            resource={"type": "user", "id": name or UNKNOWN},
            outcome="failure",
            details={"username": name, **client(request, self._proxies)},
        )
        using, uid = store.alias(), store.new_uid()
        store.keep_automatic((event,), using=using, uids=(uid,))
        _outlive_rollback(event, using, uid)

    def _keep(self, name: str, user: Any, request: HttpRequest | None) -> None:
        event = audit.made(
            name,
            actor=str(user.pk),
            resource={"type": "user", "id": str(user.pk)},
            details={
                "username": user.get_username(),
                **client(request, self._proxies),
            },
        )
        store.keep_automatic((event,), using=store.alias())


def _user_name(credentials: dict[str, Any]) -> str:
    """Return what was entered as the name of the user; Django has hidden the password."""
    for key in (str(get_user_model().USERNAME_FIELD), "username", "email"):
        if isinstance(credentials.get(key), str):
            return str(credentials[key])
    return ""


def _outlive_rollback(event: AuditEvent, using: str, uid: str) -> None:
    """See after the request whether the event is still there."""
    here = requests.current()
    if here is None or not connections[using].in_atomic_block or not store.is_migrated(using):
        return

    def again() -> None:
        if not AuditRow.objects.using(using).filter(uid=uid).exists():
            store.keep((event,), using=using, uids=(uid,))

    here.unsettled.append(again)
