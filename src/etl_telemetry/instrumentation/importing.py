"""Wait for the import of what a process may never use: it costs time at every start."""

from __future__ import annotations

from collections.abc import Callable

from wrapt import register_post_import_hook

from etl_telemetry import guard


def when_imported(module: str, act: Callable[[], object]) -> Callable[[], None]:
    """Call ``act`` once after the import of ``module``, now where that has been; return an undo.

    It runs in the importing thread, before the importer goes on, and what goes wrong in it
    does not reach the import. The undo forgets an import that has not come yet.

    >>> _ = when_imported("json", lambda: print("json is here"))
    json is here
    >>> forget = when_imported("no_such_module", lambda: print("never"))
    >>> forget()
    """
    waiting = [act]

    def imported(_: object) -> None:
        with guard.absorb(f"following the import of {module}"):
            while waiting:
                waiting.pop()()

    register_post_import_hook(imported, module)
    return waiting.clear
