"""Transport security: what a node is given, and what a client is. Files are PEM, read again when they change."""

from dataclasses import dataclass
from typing import Literal

Speaks = Literal["plain", "tls", "mutual"]
"""Of a listener for clients: plain text; TLS; TLS, and only with a client's certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """A node's certificates. With these, nodes talk to each other by mutual TLS, and by nothing else.

    The first three are needed.
    """

    cert_file: str = ""
    """The node's certificate and what leads from it to the CA: it names the host that others reach the node at, and
    `riverrun://<cluster id>/node/<n>`."""
    key_file: str = ""
    """Its private key, without a passphrase."""
    ca_file: str = ""
    """The CAs that the nodes' certificates are signed by."""
    client: Speaks = "tls"
    """What the client listener speaks."""
    http: Speaks | None = None
    """What the HTTP port speaks; absent: the same as the client listener."""
    client_cert_file: str = ""
    """Another certificate for clients, gRPC and HTTP, such as a public CA's; empty: the same."""
    client_key_file: str = ""
    client_ca_file: str = ""
    """The CAs that clients' certificates are signed by; empty: those of `ca_file`."""
    expiry_warning_s: float = 14 * 86_400.0
    """A certificate that ends within so long is warned about, at a start and when it is read again. 0: once ended."""

    @property
    def http_speaks(self) -> Speaks:
        """What the HTTP port speaks."""
        return self.http or self.client


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """A client's part (`connect(..., tls=...)`)."""

    ca_file: str = ""
    """The CAs that nodes' certificates are signed by; empty: the public ones."""
    cert_file: str = ""
    """The client's own certificate, where nodes want one."""
    key_file: str = ""
