"""What the clusters of process tests speak: plain text, or, with `pytest --tls tls` or `--tls mutual`, TLS.

The tests are the same: clients find in their environment which certificates to trust and to show, as users' would.
"""

import contextlib
import os
import ssl
from collections.abc import Iterator, Mapping

import pytest
from grpc import aio

from cluster.config import Speaks, TlsOptions
from cluster.real.tls import client_tls


def spoken(config: pytest.Config) -> Speaks:
    """What these tests were asked to have."""
    return config.getoption("--tls")


@contextlib.contextmanager
def in_environment(tls: TlsOptions | None) -> Iterator[None]:
    """Clients of this process, and of those that it starts, connect so. The last two: urllib and curl."""
    said: Mapping[str, str] = {}
    if tls is not None:
        names = ("CA", "CERT", "KEY")
        said = {f"RIVERRUN_TLS_{name}": file for name, file in zip(names, _files(tls), strict=True)}
        said |= dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE"), tls.ca_file)
    before = {name: os.environ.get(name) for name in said}
    os.environ.update(said)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def thin_channel(address: str, *, named: str = "") -> aio.Channel:
    """GRPC's own, for clients that are nothing but generated code. `named`: what the certificate says, if not that."""
    tls = client_tls(None)
    if tls is None:
        return aio.insecure_channel(address)
    options = [("grpc.ssl_target_name_override", named)] if named else []
    return aio.secure_channel(address, tls.channels.credentials(), options)


def web_context() -> ssl.SSLContext | None:
    """What urllib takes beside an `https` URL."""
    return ssl.create_default_context() if "SSL_CERT_FILE" in os.environ else None


def _files(tls: TlsOptions) -> tuple[str, str, str]:
    return tls.ca_file, tls.cert_file, tls.key_file
