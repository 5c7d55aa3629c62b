"""The relay: children hand telemetry over to their long-lived parent, which exports it.

| module            | side   | what it does                                                  |
| ----------------- | ------ | ------------------------------------------------------------- |
| `wire`            | both   | how a message is cut into datagrams and put together again    |
| `outbox`          | child  | what waits, what is handed over and when; never blocks a task |
| `handing`         | child  | the outbox as the ways out of `runtime.current.Signals`       |
| `server`          | parent | reads the socket, watches the children                        |
| `decode`          | parent | OTLP -> objects of the SDK                                    |
| `points`, `store` | parent | merges metrics, exactly                                       |
| `relay`           | both   | which side this process is on                                 |

Why: docs/explanation/relay.md.
"""
