"""Certificates for tests: made by what makes those of `riverrun dev --tls`, and what uses them."""

import datetime as dt
import functools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from cluster.cli.certificates import LOCAL_HOSTS, Authority, Issued
from cluster.config import TlsConfig, TlsOptions
from cluster.real.clock import RealClock
from cluster.real.tls import NodeTls
from cluster.types import ClusterId, NodeId
from cluster.wire.certified import node_uri

CLUSTER = ClusterId(bytes(range(16)))
GONE = dt.timedelta(days=-1)
"""For a certificate that has expired."""


@functools.cache
def shared_authority() -> Authority:
    """One for all tests of this process that only want there to be TLS."""
    return Authority.make(Path(tempfile.mkdtemp(prefix="riverrun-tests-")))


def node_files(authority: Authority, node: int | None = 1, **how) -> Issued:
    """A node's certificate; None: of all nodes."""
    uri = node_uri(CLUSTER, None if node is None else NodeId(node))
    return authority.issue(f"node-{node}", **{"hosts": LOCAL_HOSTS, "uris": [uri], **how})


def tls_config(authority: Authority, files: Issued, **options) -> TlsConfig:
    """What a node's configuration says of it."""
    return TlsConfig(
        cert_file=str(files.cert_file), key_file=str(files.key_file), ca_file=str(authority.ca_file), **options
    )


def node_tls(authority: Authority, node: int | None = 1, **options) -> NodeTls:
    """A node's TLS, whose files are its own: `replace_files` puts others there."""
    files = node_files(authority, node)
    ca_file = files.cert_file.with_suffix(".ca")
    shutil.copy(authority.ca_file, ca_file)
    config = replace(tls_config(authority, files, **options), ca_file=str(ca_file))
    return NodeTls(config, CLUSTER, NodeId(node or 1), wall_ns=RealClock().wall_ns)


def replace_files(tls: NodeTls, authority: Authority, files: Issued) -> None:
    """Put another authority and another certificate where a node has its own."""
    own = tls.channels.files
    for source, target in ((authority.ca_file, own.ca), (files.key_file, own.key), (files.cert_file, own.cert)):
        shutil.copy(source, target)


def client_options(authority: Authority, files: Issued | None = None) -> TlsOptions:
    """What a client connects with."""
    if files is None:
        return TlsOptions(ca_file=str(authority.ca_file))
    return TlsOptions(ca_file=str(authority.ca_file), cert_file=str(files.cert_file), key_file=str(files.key_file))
