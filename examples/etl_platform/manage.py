#!/usr/bin/env python
"""The platform's command line: `seed`, `run_pipeline`, `ledger`, `incident`."""

import os
import sys


def main() -> None:
    """Run a command with this project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_platform.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
