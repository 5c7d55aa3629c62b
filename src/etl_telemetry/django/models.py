"""The tables of the app, each made in its own room."""

from etl_telemetry.django.ledger.models import Ledger, RunEnd, RunTotal

__all__ = ["Ledger", "RunEnd", "RunTotal"]
