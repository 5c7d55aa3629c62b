"""The reference API of airports: what the pipeline `airports-*` reads over HTTP.

It is paginated, wants a token, and is busy now and then: each 20th call is answered with
429 and `Retry-After: 1`, as public APIs do it.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET

from apps.portal.api import signed_in
from nyc import landing
from nyc.airports import FIELDS

RETRY_AFTER = 1
"""Seconds that a refused client should wait."""
CALLS = "reference.airports.calls"


@lru_cache(maxsize=1)
def all_airports() -> tuple[dict[str, Any], ...]:
    """Return the 1,458 airports."""
    path = landing.prepare(settings.DATA_DIR) / "airports.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        return tuple({name: row[name] for name in FIELDS} for row in csv.DictReader(stream))


def is_busy() -> bool:
    """Count the call and say whether it is one to refuse."""
    cache.add(CALLS, 0, timeout=None)
    number = cache.incr(CALLS)
    return bool(settings.AIRPORTS_REFUSE_EVERY) and number % settings.AIRPORTS_REFUSE_EVERY == 0


@require_GET
@signed_in
@transaction.non_atomic_requests
def airports(request: HttpRequest) -> JsonResponse:
    """Return a page of airports: `?page=1`."""
    if is_busy():
        refusal = JsonResponse({"error": "Too many requests."}, status=429)
        refusal["Retry-After"] = str(RETRY_AFTER)
        return refusal
    pages = Paginator(all_airports(), settings.AIRPORTS_PAGE_SIZE)
    number = request.GET.get("page", "1")
    if not number.isdecimal() or int(number) not in pages.page_range:
        return JsonResponse(
            {"error": f"page must be 1 to {pages.num_pages}, got {number!r}"}, status=404
        )
    return JsonResponse(
        {
            "page": int(number),
            "pages": pages.num_pages,
            "count": pages.count,
            "results": list(pages.page(int(number)).object_list),
        }
    )
