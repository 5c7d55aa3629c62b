"""The tables of the store: one SQLite file in WAL mode, which other processes can read."""

from __future__ import annotations

from etl_telemetry.errors import TelemetryError

VERSION = 1
"""`PRAGMA user_version` of a file that this code can read and write."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
  id INTEGER PRIMARY KEY,
  resource TEXT NOT NULL, scope_name TEXT NOT NULL, scope_version TEXT NOT NULL,
  service TEXT NOT NULL,
  UNIQUE (resource, scope_name, scope_version)
);
CREATE TABLE IF NOT EXISTS spans (
  seq INTEGER PRIMARY KEY,
  source_id INTEGER NOT NULL,
  trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_span_id TEXT,
  name TEXT NOT NULL, kind TEXT NOT NULL,
  start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
  status TEXT NOT NULL, status_message TEXT NOT NULL,
  attributes TEXT NOT NULL, events TEXT NOT NULL, links TEXT NOT NULL,
  received INTEGER NOT NULL DEFAULT 1,
  UNIQUE (trace_id, span_id)
);
CREATE INDEX IF NOT EXISTS spans_name ON spans (name);
CREATE TABLE IF NOT EXISTS logs (
  seq INTEGER PRIMARY KEY,
  source_id INTEGER NOT NULL,
  time_ns INTEGER NOT NULL, observed_ns INTEGER NOT NULL,
  severity INTEGER NOT NULL, severity_text TEXT NOT NULL, event_name TEXT NOT NULL,
  body TEXT NOT NULL, trace_id TEXT, span_id TEXT, attributes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS logs_trace ON logs (trace_id) WHERE trace_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY,
  source_id INTEGER NOT NULL,
  metric TEXT NOT NULL, kind TEXT NOT NULL, temporality TEXT NOT NULL,
  unit TEXT NOT NULL, description TEXT NOT NULL, bounds TEXT NOT NULL,
  attributes TEXT NOT NULL,
  UNIQUE (metric, source_id, kind, temporality, unit, description, bounds, attributes)
);
CREATE TABLE IF NOT EXISTS points (
  seq INTEGER PRIMARY KEY,
  series_id INTEGER NOT NULL,
  start_ns INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  value TEXT, exemplars TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS points_series ON points (series_id);
CREATE TABLE IF NOT EXISTS totals (
  series_id INTEGER NOT NULL,
  start_ns INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  value TEXT,
  PRIMARY KEY (series_id, start_ns)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dropped (name TEXT PRIMARY KEY, count INTEGER NOT NULL);
"""


class StoreError(TelemetryError):
    """The store cannot be opened, read or written; the text says why and what to do."""
