"""Make a certificate authority, certificates and a token, to try the security profile with.

    python make_pki.py tls --host gateway-1.example.com --host 10.0.0.11

Writes ca.crt, server.crt, server.key, client.crt, client.key and token into the folder. Needs
Python 3.11 and the command `openssl`. For trials and tests: the key of the authority is thrown
away, so that nothing can be issued later. In production the certificates come from your own
authority, under the same names.
"""
# ruff: noqa: INP001 -- a script, in no package

from __future__ import annotations

import argparse
import ipaddress
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LOCAL = ("localhost", "127.0.0.1", "::1")
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


def make(folder: Path, *, hosts: tuple[str, ...] = LOCAL, days: int = 30) -> None:
    """Write an authority, a server's and a client's certificate, and a token.

    `hosts` are the names and addresses of the server. With 0 `days` the certificates of server and
    client end at once; the authority does not.

    Raises:
        subprocess.CalledProcessError: openssl refused; `stderr` says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as given:
        work = Path(given)
        _authority(work, folder, days=max(days, 1))
        names = ",".join(f"{_kind(host)}:{host}" for host in hosts)
        _certificate(
            work, folder, "server", f"extendedKeyUsage=serverAuth\nsubjectAltName={names}", days
        )
        _certificate(work, folder, "client", "extendedKeyUsage=clientAuth", days)
    _write_secret(folder / "token", secrets.token_hex(32))


def _authority(work: Path, folder: Path, *, days: int) -> None:
    _openssl(
        *("req", "-x509", *KEY, "-keyout", str(work / "ca.key"), "-out", str(folder / "ca.crt")),
        *("-days", str(days), "-subj", "/CN=etl-telemetry trial authority"),
        *("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"),
        *("-addext", "keyUsage=critical,keyCertSign"),
    )


def _certificate(work: Path, folder: Path, name: str, extensions: str, days: int) -> None:
    request, key, written = work / f"{name}.csr", work / f"{name}.key", work / "extensions"
    written.write_text(f"basicConstraints=critical,CA:FALSE\n{extensions}\n")
    _openssl(
        *("req", "-new", *KEY, "-keyout", str(key), "-out", str(request)),
        *("-subj", f"/CN=etl-telemetry {name}"),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-out", str(folder / f"{name}.crt")),
        *("-CA", str(folder / "ca.crt"), "-CAkey", str(work / "ca.key")),
        *("-set_serial", str(secrets.randbits(120)), "-days", str(days), "-extfile", str(written)),
    )
    _write_secret(folder / f"{name}.key", key.read_text())


def _openssl(*arguments: str) -> None:
    command = [shutil.which("openssl") or "openssl", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- our words


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _kind(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "DNS"
    return "IP"


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", action="append", default=[], help="name or address of the server")
    parser.add_argument("--days", type=int, default=30)
    given = parser.parse_args(arguments)
    try:
        make(given.folder, hosts=(*LOCAL, *given.host), days=given.days)
    except FileNotFoundError:
        sys.stderr.write("openssl was not found: install it (Debian: apt-get install openssl)\n")
        return 1
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"openssl refused: {error.stderr}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
