"""The local viewer: an OTLP/HTTP receiver with an embedded store and a query API.

For development, the demo and tests; production sends to a Collector. Rooms, imports go down only:

- `receiver`: `Receiver`, what the outside starts and stops; `server` is its HTTP engine.
- `api`: JSON over GET `/api/v1/...`; a web page joins beside it as `page`, with its own routes.
- `ingest`: POST `/v1/{traces,metrics,logs}`; `body` reads a request, `wire` knows the two encodings.
- `query`: `Query`, the read side; `store`: `Store`, the write side; they meet in the file only.
- `flatten`: OTLP messages to rows; `merge`: exact arithmetic on metric values; `records`: values.
"""
