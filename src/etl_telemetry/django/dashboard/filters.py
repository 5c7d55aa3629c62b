"""How numbers and times look on a page."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone

from etl_telemetry.django.figures import RunBucket

register = template.Library()
NOTHING = "-"
"""Stands where there is no figure."""
_MINUTE, _HOUR = 60, 3600
_HUNDRED = 100


@register.filter
def number(value: float | None) -> str:
    """Return a number with separators.

    >>> number(1234567), number(12.345), number(None)
    ('1,234,567', '12.3', '-')
    """
    if value is None:
        return NOTHING
    whole = isinstance(value, int) or value >= _HUNDRED or float(value).is_integer()
    return f"{value:,.0f}" if whole else f"{value:,.1f}"


@register.filter
def percent(value: float | None) -> str:
    """Return a share as a percentage; 100 % and 0 % are exact.

    >>> percent(1), percent(0.9996), percent(0.25), percent(None)
    ('100 %', '99.9 %', '25 %', '-')
    """
    if value is None:
        return NOTHING
    shown = value * _HUNDRED
    if 0 < value < 1:
        shown = min(max(round(shown, 1), 0.1), 99.9)
    return f"{shown:.1f}".removesuffix(".0") + " %"


@register.filter
def seconds(value: float | None) -> str:
    """Return a duration.

    >>> seconds(0.25), seconds(12.345), seconds(75), seconds(7384), seconds(None)
    ('0.25 s', '12.3 s', '1 min 15 s', '2 h 3 min', '-')
    """
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value:.2f} s"
    if value < _MINUTE:
        return f"{value:.1f}".removesuffix(".0") + " s"
    if value < _HOUR:
        return f"{int(value) // _MINUTE} min {int(value) % _MINUTE} s"
    return f"{int(value) // _HOUR:,} h {int(value) % _HOUR // _MINUTE} min"


@register.filter
def points(value: float | None) -> str:
    """Return a difference of two shares in percentage points, with an arrow.

    >>> points(0.051), points(-0.2), points(0.0), points(None)
    ('▲ 5.1 points', '▼ 20 points', '= as before', '')
    """
    if value is None:
        return ""
    shown = f"{abs(value) * _HUNDRED:.1f}".removesuffix(".0")
    if shown == "0":
        return "= as before"
    return f"{'▲' if value > 0 else '▼'} {shown} points"


@register.filter
def slower(value: float | None) -> str:
    """Return a difference of two durations, with an arrow.

    >>> slower(3.0), slower(-0.5), slower(0.001), slower(None)
    ('▲ 3 s slower', '▼ 0.50 s faster', '= as before', '')
    """
    if value is None:
        return ""
    if abs(value) < 0.005:  # noqa: PLR2004 - what would be shown as 0.00
        return "= as before"
    return f"▲ {seconds(value)} slower" if value > 0 else f"▼ {seconds(-value)} faster"


@register.filter
def moment(value: datetime | None) -> str:
    """Return a time in the zone of the page."""
    if value is None:
        return NOTHING
    local = timezone.localtime(value) if timezone.is_aware(value) else value
    return f"{local:%Y-%m-%d %H:%M:%S}"


@register.filter
def begin(bucket: RunBucket) -> str:
    """Return the begin of a part of a window; of days the date where they were counted."""
    if bucket.part in {"day", "week"}:
        return f"{bucket.begin:%Y-%m-%d}"
    return moment(bucket.begin)


@register.filter
def iso(value: datetime) -> str:
    """Return a time for machines."""
    return value.isoformat()
