"""The checksum over what nodes say to each other: no bit is lost on the way, and older versions are understood."""

from dataclasses import replace
from typing import Any

import pytest

from cluster.errors import ChecksumMismatch
from cluster.messages import AppendReply, VoteReply
from cluster.types import Index, Lane, NodeId, PartitionId, ReplicaId, Term, TopicId
from cluster.wire.checking import is_whole, sealed
from cluster.wire.links import EXCHANGE
from cluster.wire.pb.riverrun.internal.v1 import peer_pb2
from cluster.wire.peer import PeerMessage, ReplicaEnvelope, decode_exchange, encode_exchange
from tests.contracts.places import Place, on_all_networks, until, within
from tests.wire.test_links import ONE, OPTIONS, TWO, both_up, said, two

COMMON: dict[str, Any] = {"sender": ReplicaId(11), "to": ReplicaId(12), "term": Term(7)}
PARTITION = PartitionId(TopicId(bytes(range(16))), 3)
MESSAGES: list[PeerMessage] = [
    ReplicaEnvelope(partition=PARTITION, message=AppendReply(**COMMON, match=Index(100))),
    ReplicaEnvelope(partition=PARTITION, message=VoteReply(**COMMON, granted=True)),
]


def test_no_flipped_bit_and_no_cut_goes_unseen() -> None:
    """A checksum over all there is, itself included: most of these would else be another term, vote or match."""
    plain = encode_exchange(MESSAGES, incarnation=8544473176595397)
    whole = sealed(plain)
    unseen = 0
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        unseen += is_whole(bytes(flipped))

    assert is_whole(whole)
    assert 0 == unseen
    assert not any(is_whole(whole[:length]) for length in range(len(whole)))
    assert not is_whole(plain)


def test_the_checksum_is_a_field_that_others_pass_over() -> None:
    """It stands where the protocol file says, so that a node without it reads the same messages."""
    plain = encode_exchange(MESSAGES, incarnation=5)
    read = peer_pb2.ExchangeRequest.FromString(sealed(plain))

    assert int.from_bytes(sealed(plain)[-4:], "little") == read.checksum
    assert decode_exchange(plain) == decode_exchange(sealed(plain))
    read.ClearField("checksum")
    assert plain == read.SerializeToString()


@on_all_networks
async def test_a_damaged_message_ends_its_stream_and_is_not_taken(place: Place) -> None:
    """What came before it is kept; the link comes back by itself, for the next stream is a new one."""
    one, other = await two(place)
    await until(both_up(one, other))
    stream = place.channel(one.listener.address).stream(EXCHANGE)
    await stream.send(other.links.encode([], other.links.hello(ONE, Lane.BULK)))
    await within(stream.receive())
    await stream.send(other.links.encode([said(b"good")]))
    damaged = bytearray(other.links.encode([said(b"evil")]))
    damaged[8] ^= 1
    await stream.send(bytes(damaged))
    with pytest.raises(ChecksumMismatch, match="damaged on its way"):
        await within(stream.receive())
    await until(both_up(one, other))

    assert [said(b"good")] == one.received


@on_all_networks
async def test_a_damaged_hello_is_refused(place: Place) -> None:
    """And so is one without a checksum from a node that says that it makes them."""
    one, other = await two(place)
    hello = other.links.hello(NodeId(1), Lane.CONTROL)
    for message in (encode_exchange([], incarnation=102, hello=hello), other.links.encode([], hello)[:-1] + b"?"):
        stream = place.channel(one.listener.address).stream(EXCHANGE)
        await stream.send(message)
        with pytest.raises(ChecksumMismatch):
            await within(stream.receive())
        stream.cancel()


@on_all_networks
async def test_a_node_of_protocol_1_is_understood_and_understands(place: Place) -> None:
    """While a cluster is upgraded node by node, both kinds talk to each other, in both directions."""
    one, other = await two(place, options=replace(OPTIONS, protocol_max=1))
    await until(both_up(one, other))
    assert not is_whole(other.links.encode([]))
    assert other.links.send(ONE, said(b"old to new"), Lane.CONTROL)
    assert one.links.send(TWO, said(b"new to old"), Lane.CONTROL)
    await until(lambda: bool(one.received and other.received))

    assert [said(b"old to new")] == one.received
    assert [said(b"new to old")] == other.received
