"""How the application hears of an alert."""

from __future__ import annotations

from django.dispatch import Signal

alert_received = Signal()
"""Sent once for each piece of news, after it was stored: `alert` is the row (`models.Alert`).

Receivers run inside of the webhook's request, so a slow one belongs into a task. One that raises
is logged by Django (`django.dispatch`) and changes nothing else.
"""
