"""What stops the demo, as text for the person in front of it."""

from __future__ import annotations


class DemoError(Exception):
    """Something outside the demo is in its way: the message says what, and what to do."""
