"""TLS on sockets: who is let in, what is said where it fails, and new certificates while all goes on."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cluster.cli.certificates import Authority
from cluster.config import HttpOptions, TlsOptions
from cluster.errors import Forbidden, InvalidRequest, RefusedToStart, RiverrunError, Untrusted
from cluster.real.clock import RealClock
from cluster.real.network import RealListener, RealNetwork
from cluster.real.tls import LOOK_S, ClientTls, NodeTls, client_tls
from cluster.real.web import RealWeb
from cluster.types import NodeId
from cluster.wire.certified import node_uri
from cluster.world import Call, Route
from tests.certificates import CLUSTER, GONE, client_options, node_files, node_tls, replace_files, tls_config
from tests.real.test_web import hello

METHOD = "/test.Test/Names"


async def names(request: bytes, call: Call) -> bytes:
    """What the listener knows of the caller."""
    certified = call.certified()
    return b"none" if certified is None else " ".join(sorted(certified)).encode() + request


async def echo(requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
    """What comes."""
    del call
    async for request in requests:
        yield request


ROUTES = {METHOD: Route(unary=names), "/test.Test/Echo": Route(streaming=echo)}


@asynccontextmanager
async def listening(tls: NodeTls | None, *, public: bool = True) -> AsyncIterator[RealListener]:
    """A listener on a free port."""
    listener = await RealNetwork(tls).listen("127.0.0.1:0", ROUTES, public=public)
    try:
        yield listener
    finally:
        await listener.close(0)


async def asked(address: str, tls: ClientTls | NodeTls | None) -> str:
    """The answer over a channel of its own; RiverrunError."""
    channel = RealNetwork(tls).channel(address)
    try:
        return (await channel.call(METHOD, b"", timeout_s=5)).decode()
    finally:
        await channel.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """One of the test's own."""
    return Authority.make(tmp_path / "here")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Another one, that nobody trusts."""
    return Authority.make(tmp_path / "elsewhere")


# --- who is let in


async def test_a_client_needs_the_authority_only(authority: Authority) -> None:
    """Where the listener says so; it is known that there is TLS, and nothing of who calls."""
    async with listening(node_tls(authority)) as listener:
        assert "" == await asked(listener.address, ClientTls(client_options(authority)))


async def test_names_in_a_certificate_are_known(authority: Authority) -> None:
    """The URIs, not the host names; a node's are believed only where nodes talk."""
    uris = ["spiffe://a/b", "x:y", node_uri(CLUSTER, NodeId(2))]
    files = authority.issue("client", hosts=["a.example"], uris=uris)
    async with listening(node_tls(authority, client="mutual")) as listener:
        answer = await asked(listener.address, ClientTls(client_options(authority, files)))
    assert "spiffe://a/b x:y" == answer


async def test_plain_text_beside_tls_between_nodes(authority: Authority) -> None:
    """At a client listener that speaks none nobody proves anything; without any TLS nobody could."""
    async with listening(node_tls(authority, client="plain")) as listener:
        assert "" == await asked(listener.address, None)
    async with listening(None) as listener:
        assert "none" == await asked(listener.address, None)


async def test_nodes_are_served_and_clients_are_not(authority: Authority) -> None:
    """At the listener for nodes: the same authority signed both."""
    client = authority.issue("client")
    async with listening(node_tls(authority), public=False) as listener:
        assert node_uri(CLUSTER, NodeId(2)) == await asked(listener.address, node_tls(authority, 2))
        for files in (client, authority.issue("foreign", uris=[f"riverrun://{bytes(16).hex()}/node/2"])):
            tls = ClientTls(client_options(authority, files))
            with pytest.raises(Forbidden, match="only nodes may ask this, with a certificate that names riverrun://"):
                await asked(listener.address, tls)
            stream = RealNetwork(tls).channel(listener.address).stream("/test.Test/Echo")
            with pytest.raises(Forbidden):
                await stream.receive()
        with pytest.raises(Untrusted, match="wants a client's certificate"):
            await asked(listener.address, ClientTls(client_options(authority)))


# --- what is said where it fails


@pytest.mark.parametrize(
    ("node", "client", "says"),
    [
        ({}, {"ca": "stranger"}, r"shows a certificate that none of the CAs in .*ca\.crt has signed \(--tls-ca"),
        ({"hosts": ["a.example", "::1"]}, {}, r"is not for '127\.0\.0\.1' but for a\.example, ::1"),
        ({"speaks": "mutual"}, {}, r"wants a client's certificate, and there is none \(--tls-cert and --tls-key"),
        ({"speaks": "mutual"}, {"by": "stranger"}, r"refuses the certificate .*client\.crt"),
        ({"speaks": "mutual"}, {"lasts": GONE}, r"refuses the certificate .*client\.crt"),
        ({}, None, r"speaks TLS, and was spoken to in plain text: give the CA .* \(--tls-ca"),
        ({"speaks": "mutual"}, None, "speaks TLS, and was spoken to in plain text"),
        ({"speaks": "plain"}, {}, "does not speak TLS: it takes plain text, or is no node"),
    ],
)
async def test_what_is_wrong_is_said(
    authority: Authority, stranger: Authority, node: dict, client: dict | None, says: str
) -> None:
    """In a sentence that begins with the address, for calls and for streams."""
    authorities = {"stranger": stranger}
    files = node_files(authority, **{key: value for key, value in node.items() if key == "hosts"})
    config = tls_config(authority, files, client=node.get("speaks", "tls"))
    tls = None
    if client is not None:
        by = authorities.get(client.get("by"), authority)
        own = (
            by.issue("client", lasts=client.get("lasts", dt.timedelta(days=1))) if {"by", "lasts"} & {*client} else None
        )
        options = client_options(authority, own)
        if "ca" in client:
            options = client_options(stranger)
        tls = ClientTls(options)
    async with listening(NodeTls(config, CLUSTER, NodeId(1), wall_ns=RealClock().wall_ns)) as listener:
        with pytest.raises(Untrusted, match=f"^{listener.address} .*{says}"):
            await asked(listener.address, tls)
        channel = RealNetwork(tls).channel(listener.address)
        with pytest.raises(Untrusted, match=says):
            await channel.stream("/test.Test/Echo").receive()
        await channel.close()


async def test_a_certificate_that_expired_is_said(authority: Authority) -> None:
    """With when. It was good when the node started."""
    files = node_files(authority, lasts=dt.timedelta(days=-1))
    tls = NodeTls(tls_config(authority, files), CLUSTER, NodeId(1), wall_ns=lambda: 0)
    async with listening(tls) as listener:
        with pytest.raises(Untrusted, match=r"shows a certificate that expired on 20\d\d-"):
            await asked(listener.address, ClientTls(client_options(authority)))


async def test_nobody_there_is_no_trouble_of_tls(authority: Authority) -> None:
    """What it always was: nothing was sent, try again."""
    async with listening(None) as listener:
        address = listener.address
    with pytest.raises(RiverrunError) as error:
        await asked(address, ClientTls(client_options(authority)))
    assert ("UNAVAILABLE", f"no node answers at {address}") == (error.value.reason, error.value.message)


def test_a_client_whose_files_are_wrong_is_told() -> None:
    """Before it connects."""
    with pytest.raises(InvalidRequest, match="TLS: cannot read /nowhere"):
        ClientTls(TlsOptions(ca_file="/nowhere"))


def test_the_environment_says_it_too(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing else is said; without it there is no TLS."""
    assert client_tls(None) is None
    monkeypatch.setenv("RIVERRUN_TLS_CA", str(authority.ca_file))
    found = client_tls(None)
    assert found is not None
    assert ("", "", str(authority.ca_file)) == found.channels.files


# --- a node's own


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"uris": []}, r"does not name riverrun://000102\w+/node/1, .* it names no URI at all"),
        ({"uris": [node_uri(CLUSTER, NodeId(2))]}, r"not take this one for node 1; it names riverrun://\w+/node/2"),
        ({"lasts": GONE}, r"the certificate for localhost, 127\.0\.0\.1, .* has expired, on 20\d\d-.*: renew it"),
    ],
)
def test_a_node_with_a_wrong_certificate_does_not_start(authority: Authority, how: dict, says: str) -> None:
    """One sentence says what it would need."""
    with pytest.raises(RefusedToStart, match=says):
        NodeTls(tls_config(authority, node_files(authority, **how)), CLUSTER, NodeId(1), wall_ns=RealClock().wall_ns)


def test_a_node_whose_certificate_others_signed_does_not_start(authority: Authority, stranger: Authority) -> None:
    """Its peers would not take it."""
    with pytest.raises(RefusedToStart, match=r"is signed by none of the CAs in .*ca\.crt"):
        NodeTls(tls_config(authority, node_files(stranger)), CLUSTER, NodeId(1), wall_ns=RealClock().wall_ns)


def test_one_certificate_for_all_nodes_will_do(authority: Authority) -> None:
    """If it names the cluster's nodes as such."""
    config = tls_config(authority, node_files(authority, uris=[node_uri(CLUSTER)]))
    for node in (1, 2):
        NodeTls(config, CLUSTER, NodeId(node), wall_ns=RealClock().wall_ns)


def test_what_will_be_trouble_is_warned_about(authority: Authority) -> None:
    """A key that others can read, and a certificate that ends soon."""
    files = node_files(authority, lasts=dt.timedelta(days=2))
    files.key_file.chmod(0o640)
    with capture_logs() as logs:
        NodeTls(tls_config(authority, files), CLUSTER, NodeId(1), wall_ns=RealClock().wall_ns)
    assert ["certificate_expires_soon", "key_readable_by_others"] == [event["event"] for event in logs]
    assert {"warning"} == {event["log_level"] for event in logs}


# --- new certificates


@pytest.mark.slow
async def test_new_certificates_count_for_who_comes_next(authority: Authority, stranger: Authority) -> None:
    """On both sides and without a restart, while the streams that are open stay; the authority is another one then."""
    node = node_tls(authority)
    network = RealNetwork(node)
    async with listening(node, public=False) as listener:
        channel = network.channel(listener.address)
        assert node_uri(CLUSTER, NodeId(1)) == (await channel.call(METHOD, b"", timeout_s=5)).decode()
        stream = channel.stream("/test.Test/Echo")
        await stream.send(b"a")
        assert b"a" == await stream.receive()

        replaced = node_files(stranger, uris=[node_uri(CLUSTER, NodeId(1)), "x:new"])
        replace_files(node, stranger, replaced)

        with pytest.raises(Untrusted, match="shows a certificate that none of the CAs"):
            await asked(listener.address, ClientTls(client_options(authority)))
        async with asyncio.timeout(10 * LOOK_S):
            while b"x:new" not in await channel.call(METHOD, b"", timeout_s=5):  # noqa: ASYNC110  files set no event
                await asyncio.sleep(0.05)
        await stream.send(b"b")
        assert b"b" == await stream.receive()
        await stream.finish()
        assert await stream.receive() is None
        await channel.close()


async def shown_by(address: str, ca: bytes) -> bytes:
    """The certificate that the HTTP port shows, as it travels; after an answer."""
    context = ssl.create_default_context(cadata=ca.decode())
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()
    await writer.wait_closed()
    return found


async def test_http_speaks_tls_and_takes_new_certificates(authority: Authority, stranger: Authority) -> None:
    """The port is bound once."""
    node = node_tls(authority)
    listener = await RealWeb(node.http_context).serve(hello, "127.0.0.1:0", HttpOptions())
    first = await shown_by(listener.address, authority.ca_file.read_bytes())
    replace_files(node, stranger, node_files(stranger))
    assert first != await shown_by(listener.address, stranger.ca_file.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown_by(listener.address, authority.ca_file.read_bytes())
    await listener.close(0)


async def test_http_wants_a_certificate_where_it_is_told_to(authority: Authority, stranger: Authority) -> None:
    """And one of the authority's."""
    listener = await RealWeb(node_tls(authority, http="mutual").http_context).serve(hello, "127.0.0.1:0", HttpOptions())
    host, _, port = listener.address.rpartition(":")
    answered = {}
    for name, files in (("none", None), ("strange", stranger.issue("c")), ("good", authority.issue("c"))):
        context = ssl.create_default_context(cafile=str(authority.ca_file))
        if files is not None:
            context.load_cert_chain(files.cert_file, files.key_file)
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        try:
            answered[name] = (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        except (ssl.SSLError, ConnectionError):
            answered[name] = False
        writer.close()
    assert {"none": False, "strange": False, "good": True} == answered
    await listener.close(0)
