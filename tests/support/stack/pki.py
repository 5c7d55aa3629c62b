"""Certificates and tokens for tests, made by the product's own script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.stack.product import PRODUCT

SCRIPT = PRODUCT / "security" / "make_pki.py"


def make(folder: Path, *, days: int = 30) -> Path:
    """Make an authority, a server's and a client's certificate, and a token; return the folder."""
    command = [sys.executable, str(SCRIPT), str(folder), "--days", str(days)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{SCRIPT.name}: {done.stderr}")
    return folder


def certificates(folder: Path) -> dict[str, str]:
    """Make them, and return the variables by which the security profile finds them."""
    made = make(folder)
    return {
        "ETL_TLS_DIRECTORY": str(made),
        "ETL_BEARER_TOKEN_FILE": str(made / "token"),
        "ETL_GATEWAY_TOKEN_FILE": str(made / "token"),
    }
