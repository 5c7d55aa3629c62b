"""Sign programs in by their API token."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from apps.accounts.models import ApiToken


def token_of(request: HttpRequest) -> str:
    """Return the key in `Authorization: Bearer <key>`, or an empty string."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


class BearerTokenMiddleware:
    """Set `request.user` by the token that the request carries.

    Place it after the session's authentication and before nothing that reads the user.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look the token up; an unknown one leaves the request as it was."""
        key = token_of(request)
        request.signed_in_by_token = False
        if key and (user := ApiToken.user_of(key)):
            request.user = user
            request.signed_in_by_token = True
        return self._get_response(request)
