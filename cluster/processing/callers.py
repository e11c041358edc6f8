"""Who may give the cluster code to run. Pure.

As long as callers have no identities, code is taken from this machine only, unless the configuration says otherwise:
whoever may deploy may run what they like where the nodes run. A proxy on this machine speaks for whoever it serves.
"""

import ipaddress
from urllib.parse import unquote

from cluster.config import ProcessingOptions
from cluster.errors import Forbidden

LOCAL = {"this node", "localhost"}


def refuse_from_afar(peer: str, options: ProcessingOptions) -> None:
    """Forbidden if `peer` (see `Call.peer`) is beyond loopback, and nobody allowed that."""
    if not options.deploy_from_anywhere and not is_local(peer):
        raise Forbidden(
            f"code is taken from this node's own machine only, not from {peer}: deploy there, or set "
            "processing.deploy_from_anywhere"
        )


def is_local(peer: str) -> bool:
    """Whether a caller is on this machine: ipv4:127.0.0.1:5, ipv6:%5B::1%5D:5, unix:…, http:127.0.0.1:5."""
    kind, _, address = unquote(peer).partition(":")
    if kind == "unix" or peer in LOCAL:
        return True
    if kind not in {"ipv4", "ipv6", "http"}:
        return False
    host = address.rpartition(":")[0].strip("[]")
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host in LOCAL
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
