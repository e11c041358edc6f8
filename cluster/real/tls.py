"""TLS below the Network and Web protocols: credentials from files that may change while they are used.

A listener looks at its files at each handshake; a channel, at most once a second, when it is used. What is connected
stays connected with the certificates that it began with.
"""

import asyncio
import os
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

import grpc
import structlog

from cluster.config import Speaks, TlsConfig, TlsOptions
from cluster.errors import InvalidRequest, RefusedToStart
from cluster.real.certificates import Certificates, Files, Pems, Unusable
from cluster.types import ClusterId, NodeId
from cluster.wire.certified import node_uri, refuse_strangers
from cluster.world import Call

log_event = structlog.get_logger()
LOOK_S = 1.0


class ChannelTls:
    """What channels are made with."""

    def __init__(self, certificates: Certificates, *, of_a_node: bool) -> None:
        self.files = certificates.files
        self.of_a_node = of_a_node
        self._certificates = certificates
        self._looked_s = 0.0

    def version(self) -> int:
        """Other than before: channels are to be made anew."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._certificates.look()
        return self._certificates.version

    def credentials(self) -> grpc.ChannelCredentials:
        """Those of now."""
        pems = self._certificates.pems
        return grpc.ssl_channel_credentials(pems.ca, pems.key, pems.cert)


class ClientTls:
    """A client's. InvalidRequest: its files cannot be used."""

    def __init__(self, options: TlsOptions) -> None:
        try:
            certificates = Certificates(Files(options.cert_file, options.key_file, options.ca_file))
        except Unusable as error:
            raise InvalidRequest(f"TLS: {error}") from error
        self.channels = ChannelTls(certificates, of_a_node=False)


def client_tls(options: TlsOptions | None) -> ClientTls | None:
    """What a client was given; without options what the environment says: RIVERRUN_TLS_CA, _CERT and _KEY. None: none.

    InvalidRequest: the files cannot be used.
    """
    if options is None:
        ca, cert, key = (os.environ.get(f"RIVERRUN_TLS_{name}", "") for name in ("CA", "CERT", "KEY"))
        if not (ca or cert or key):
            return None
        options = TlsOptions(ca_file=ca, cert_file=cert, key_file=key)
    return ClientTls(options)


class NodeTls:
    """A node's. RefusedToStart: its files cannot be used, or are not this node's."""

    def __init__(self, config: TlsConfig, cluster: ClusterId, node: NodeId, *, wall_ns: Callable[[], int]) -> None:
        self._config = config
        self._cluster = cluster
        self._node = node
        self._wall_ns = wall_ns
        own = Files(config.cert_file, config.key_file, config.ca_file)
        to_clients = Files(
            config.client_cert_file or own.cert, config.client_key_file or own.key, config.client_ca_file or own.ca
        )
        try:
            self._own = Certificates(own, self._check_own)
            self._to_clients = self._own if to_clients == own else Certificates(to_clients, self._check_age)
        except Unusable as error:
            raise RefusedToStart(f"tls: {error}") from error
        self.channels = ChannelTls(self._own, of_a_node=True)
        for key in {own.key, to_clients.key}:
            if Path(key).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                log_event.warning("key_readable_by_others", file=key, detail=f"chmod 600 {key}")

    def server_credentials(self, *, public: bool) -> grpc.ServerCredentials | None:
        """Of a gRPC listener, for clients or for nodes; None: it speaks plain text."""
        speaks: Speaks = self._config.client if public else "mutual"
        if speaks == "plain":
            return None
        certificates = self._to_clients if public else self._own
        given = certificates.version

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            version = certificates.look()
            if version == given:
                return None
            given = version
            return _configuration(certificates)

        first = _configuration(certificates)
        return grpc.dynamic_ssl_server_credentials(
            first,
            changed,  # type: ignore[arg-type]  # None: no change
            require_client_authentication=speaks == "mutual",
        )

    def http_context(self) -> ssl.SSLContext | None:
        """Of the HTTP port; None: it speaks plain text. Each connection gets the certificates of its moment."""
        speaks = self._config.http_speaks
        if speaks == "plain":
            return None
        certificates = self._to_clients
        given, current = certificates.version, _context(certificates, speaks)

        def chosen(connection: ssl.SSLObject, name: str | None, first: ssl.SSLContext) -> None:
            nonlocal given, current
            del name, first
            version = certificates.look()
            if version != given:
                try:
                    given, current = version, _context(certificates, speaks)
                except (OSError, ssl.SSLError) as error:  # written again just now: the next one sees
                    log_event.warning("certificates_unusable", detail=str(error), going_on="with the ones before")
            connection.context = current

        context = _context(certificates, speaks)
        context.sni_callback = chosen  # which is called without a name, too
        return context

    def refuse_strangers(self, call: Call) -> None:
        """Forbidden: what is served to nodes only was asked by somebody else."""
        refuse_strangers(call.certified() or (), self._cluster)

    def _check_own(self, pems: Pems) -> None:
        """Unusable: the other nodes would not take it."""
        from cluster.real.pem import facts_in, is_signed  # noqa: PLC0415  its import takes a moment

        assert pems.cert is not None
        assert pems.ca is not None
        names, mine = facts_in(pems.cert).uris, node_uri(self._cluster, self._node)
        if not {node_uri(self._cluster), mine}.intersection(names):
            raise Unusable(
                f"the certificate {self._config.cert_file} does not name {mine}, so the other nodes would not take "
                f"this one for node {self._node}; it names {', '.join(names) or 'no URI at all'}"
            )
        if not is_signed(pems.cert, pems.ca):
            raise Unusable(
                f"the certificate {self._config.cert_file} is signed by none of the CAs in {self._config.ca_file}: the "
                "other nodes would not take it"
            )
        self._check_age(pems)

    def _check_age(self, pems: Pems) -> None:
        """Unusable: it has ended. It is warned about if it ends soon."""
        from cluster.real.pem import facts_in  # noqa: PLC0415  see above

        assert pems.cert is not None
        facts = facts_in(pems.cert)
        left_s, ends, names = facts.lasts_s(self._wall_ns()), facts.ends.isoformat(), facts.hosts + facts.uris
        if left_s <= 0:
            raise Unusable(f"the certificate for {', '.join(names)} has expired, on {ends}: renew it")
        if left_s < self._config.expiry_warning_s:
            log_event.warning("certificate_expires_soon", names=names, ends=ends)


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    pems = certificates.pems
    assert pems.key is not None
    assert pems.cert is not None
    return grpc.ssl_server_certificate_configuration([(pems.key, pems.cert)], pems.ca)


def _context(certificates: Certificates, speaks: Speaks) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.files.cert, certificates.files.key)
    if speaks == "mutual":
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.files.ca)
    return context
