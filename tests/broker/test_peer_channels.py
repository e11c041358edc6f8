"""Channels to the other nodes follow them when they move, and there is none to a node that is none any more."""

import asyncio
from typing import Any, cast

import pytest

from cluster.broker.forwarding import Forwarding, OwnCall
from cluster.broker.peer_channels import PeerChannels
from cluster.config import BrokerOptions
from cluster.errors import Closed, RiverrunError, Unavailable
from cluster.types import NodeId
from cluster.world import Network, Route
from tests.contracts.places import Place, in_both_worlds, method, routes, within
from tests.wire.test_changing_links import Lingering

TWO = NodeId(2)


async def waits(requests, call):
    """A stream that says that it is there, and stays."""
    del call
    yield b"here"
    async for message in requests:
        yield message


def routes_of(name: bytes) -> dict[str, Route]:
    """Of a node that tells which one it is."""

    async def where(request, call):
        del request, call
        return name

    return routes(where=where, waits=waits)


@in_both_worlds
async def test_a_node_that_moved_is_asked_where_it_is_now(place: Place) -> None:
    """What is under way to where it was ends."""
    old, new = [await place.listen(routes_of(name)) for name in (b"old", b"new")]
    peers = {TWO: old.address}
    channels = PeerChannels(place.client, peers)
    place.closes(channels.close)
    before = channels(TWO)
    assert b"old" == await before.call(method("where"), b"", timeout_s=5)
    assert before is channels(TWO)
    stream = before.stream(method("waits"))
    assert b"here" == await within(stream.receive())

    peers[TWO] = new.address
    assert b"new" == await channels(TWO).call(method("where"), b"", timeout_s=5)
    assert channels(TWO) is channels(TWO)
    with pytest.raises(Closed):
        await before.call(method("where"), b"", timeout_s=5)
    with pytest.raises(RiverrunError):
        await within(stream.receive())


@in_both_worlds
async def test_a_node_that_is_not_known_any_more_is_unavailable(place: Place) -> None:
    """It was removed, or this node has not heard of it yet."""
    listener = await place.listen(routes_of(b"two"))
    peers = {TWO: listener.address}
    channels = PeerChannels(place.client, peers)
    place.closes(channels.close)
    with pytest.raises(Unavailable):
        channels(NodeId(3))
    before = channels(TWO)
    del peers[TWO]
    with pytest.raises(Unavailable):
        channels(TWO)
    peers[TWO] = listener.address
    assert b"two" == await channels(TWO).call(method("where"), b"", timeout_s=5)
    with pytest.raises(Closed):
        await before.call(method("where"), b"", timeout_s=5)


@in_both_worlds
async def test_channels_that_are_made_while_others_are_closed_are_closed_too(place: Place) -> None:
    """Requests may come to the end of a node: one more of them had the rest of its stop left out."""
    network = cast("Network", Lingering(place.client))
    listeners = {NodeId(number): await place.listen(routes_of(b"%d" % number)) for number in (2, 3, 4)}
    peers = {node: listener.address for node, listener in listeners.items()}
    channels = PeerChannels(network, peers)
    forwarding = Forwarding(cast("Any", None), network, BrokerOptions(), lambda node: peers[node])

    async def ask(node: int) -> None:
        asked = peers[NodeId(node)], method("where")
        assert b"%d" % node == await channels(NodeId(node)).call(asked[1], b"", timeout_s=5)
        assert b"%d" % node == await forwarding.call(*asked, b"", OwnCall(5.0))

    for node in (2, 3):
        await ask(node)
    closing = [asyncio.ensure_future(one.close()) for one in (channels, forwarding)]
    await asyncio.sleep(0)
    last = channels(NodeId(4))
    asked = asyncio.ensure_future(forwarding.call(peers[NodeId(4)], method("where"), b"", OwnCall(5.0)))
    for one in closing:
        await within(one)
    await asyncio.gather(asked, return_exceptions=True)
    with pytest.raises(Closed):
        await last.call(method("where"), b"", timeout_s=5)
