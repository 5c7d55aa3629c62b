# ruff: noqa: INP001 -- a script, in no package
"""Put the index templates of this folder into Elasticsearch. Needs nothing but Python 3.11.

    python apply.py http://localhost:9200

Without an argument the address is ELASTICSEARCH_ENDPOINT, else http://localhost:9200. A login:
ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USER and ELASTICSEARCH_PASSWORD. To repeat it is harmless:
a changed template is used from the next index on (`POST <data stream>/_rollover` makes one).
"""

from __future__ import annotations

import base64
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

TEMPLATES = Path(__file__).parent / "index-templates"
DEFAULT_ENDPOINT = "http://localhost:9200"
SECONDS = 30


def apply(endpoint: str, *, headers: Mapping[str, str] | None = None) -> list[str]:
    """Put every template, and return their names.

    Raises:
        urllib.error.URLError: Elasticsearch was not reached, or refused one (`HTTPError`).
    """
    names = []
    for path in sorted(TEMPLATES.glob("*.json")):
        request = urllib.request.Request(  # noqa: S310 -- the operator's own address
            f"{endpoint.rstrip('/')}/_index_template/{path.stem}",
            data=path.read_bytes(),
            headers={"Content-Type": "application/json", **(headers or {})},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310 -- as above
            names.append(path.stem)
    return names


def login(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the header for the login that the environment names; none where it names none."""
    if key := environment.get("ELASTICSEARCH_API_KEY"):
        return {"Authorization": f"ApiKey {key}"}
    if user := environment.get("ELASTICSEARCH_USER"):
        pair = f"{user}:{environment.get('ELASTICSEARCH_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run the command."""
    named = arguments[0] if arguments else environment.get("ELASTICSEARCH_ENDPOINT")
    endpoint = named or DEFAULT_ENDPOINT
    try:
        names = apply(endpoint, headers=login(environment))
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        sys.stderr.write(f"Elasticsearch at {endpoint} refused: {error.code} {said}\n")
        return 1
    except (urllib.error.URLError, TimeoutError) as error:
        sys.stderr.write(f"Elasticsearch at {endpoint} was not reached: {error}\n")
        return 1
    sys.stdout.write("".join(f"{name}\n" for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
