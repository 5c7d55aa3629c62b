"""`python -m demo`, which is what `nox -s demo` runs."""

from __future__ import annotations

import shutil
import sys

from rich.console import Console

from demo import driver
from demo.errors import DemoError
from demo.options import Options, parse

WRONG_PLACE = 2
INTERRUPTED = 130
WIDTH = 150


def main() -> int:
    """Run the demo and return its exit code."""
    # A pipe has no width of its own, and the table of runs needs its columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        options = parse(sys.argv[1:])
        code = _run(options, console)
    except DemoError as error:
        errors.print(f"demo: {error}", style="red")
        return WRONG_PLACE
    except KeyboardInterrupt:
        errors.print("demo: interrupted; everything that it had started was stopped.")
        return INTERRUPTED
    return code


def _run(options: Options, console: Console) -> int:
    """Run the demo; keep its data and logs only where somebody has to look into them."""
    keep = False
    try:
        code = driver.run(options, console)
        keep = code != 0
    except DemoError:
        keep = True
        raise
    finally:
        if options.temporary and not keep:
            shutil.rmtree(options.data, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
