"""An authority of the tests' own, and a certificate of loopback that it vouches for."""

import subprocess
from pathlib import Path

from tests.conftest import require_tool

DAYS = "2"
_REQUEST = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", DAYS]


def make_certificates(folder: Path) -> None:
    """`ca.pem`, `server.pem` and `server.key`, `client.pem` and `client.key`."""
    openssl = require_tool("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    run(*_REQUEST, "-subj", "/CN=tests", "-keyout", "ca.key", "-out", "ca.pem", "-addext", "keyUsage=keyCertSign")
    for name in ("server", "client"):
        more = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
        more += ["-addext", "basicConstraints=critical,CA:FALSE"]
        run(*_REQUEST, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *more)
