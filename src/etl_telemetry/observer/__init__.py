"""The observer: one process that reads shared state from its truth and reports it as gauges.

A `Source` is a named function that returns `Reading`s: waiting messages from the broker, open
connections from the database server, active runs from the run table. Exactly one `Observer`
reports, under a fixed instance id. Where a truth cannot be read, its series end.
"""

from etl_telemetry.observer.lead import Alone, FileLead, Lead
from etl_telemetry.observer.loop import Observer
from etl_telemetry.observer.posting import Board, board
from etl_telemetry.observer.readings import LAST_ROUND, Reading, Source, UnreadableError
from etl_telemetry.observer.schedules import Entry, Schedules

__all__ = [
    "LAST_ROUND",
    "Alone",
    "Board",
    "Entry",
    "FileLead",
    "Lead",
    "Observer",
    "Reading",
    "Schedules",
    "Source",
    "UnreadableError",
    "board",
]
