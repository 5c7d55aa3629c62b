"""The local viewer: an OTLP/HTTP receiver with an embedded store and a query API.

For development, the demo and tests; production sends to a Collector. Three parts, kept apart:

- Receiver: `receiver.Receiver` is what the outside starts. `server` and `handler` are the HTTP
  engine, `routing` the table of paths, `body` and `wire` read what a client sends, `ingest`
  answers POST `/v1/...`, `api` (with `parameters`, `plain`) answers GET `/api/v1/...`.
- Store: `store.Store` writes, `query.Query` reads; they meet in the file only (`schema`).
  `flatten` and `flatten_metrics` make rows of OTLP messages, `rows` makes `records` of rows.
  `totals`, `merge` and `sums` are the arithmetic of metrics, `filters` the conditions.
- Page: comes as `page`, with routes of its own beside those of `api`.

`command` is `etl-telemetry view`.
"""
