"""What nodes say to each other survives the wire unchanged."""

from dataclasses import replace

import pytest

from cluster.errors import InvalidRequest
from cluster.membership import Member, Membership, encode_membership
from cluster.messages import (
    AppendEntries,
    AppendReply,
    EntryHeader,
    Heartbeat,
    HeartbeatReply,
    InstallFold,
    RaftMessage,
    RequestVote,
    TailQuery,
    TailReply,
    TimeoutNow,
    VoteReply,
    type_names,
)
from cluster.metadata import Report, ReportedMembership
from cluster.records import Entry, EntryKind, Record
from cluster.types import Index, Lane, NodeId, Offset, PartitionId, ReplicaId, Term, TopicId
from cluster.wire.pb.riverrun.internal.v1 import peer_pb2
from cluster.wire.peer import (
    Hello,
    PeerMessage,
    QuorumEnvelope,
    ReplicaEnvelope,
    decode_exchange,
    encode_exchange,
    lane_of,
    size_of,
)
from cluster.wire.records import make_batch

PARTITION = PartitionId(TopicId(b"0123456789abcdef"), 11)
WHO = {"sender": ReplicaId(1), "to": ReplicaId(2), "term": Term(3)}
BATCH = make_batch([Record(value=b"v", timestamp_ns=1)])
ENTRIES = (
    Entry(index=Index(8), term=Term(2), kind=EntryKind.NO_OP, base_offset=Offset(5), append_time_ns=7),
    Entry(index=Index(9), term=Term(2), kind=EntryKind.BATCH, base_offset=Offset(5), append_time_ns=8, batch=BATCH),
    Entry(index=Index(10), term=Term(3), kind=EntryKind.TRIM_TO, base_offset=Offset(6), append_time_ns=9, control=b"c"),
)
HEADERS = tuple(EntryHeader(entry.index, entry.term, entry.size_bytes) for entry in ENTRIES)
NODES = [Member(replica=ReplicaId(number), node=NodeId(number + 10)) for number in range(1, 5)]
CHANGE = Membership(voters=(NODES[0], NODES[1]), learners=(NODES[3],), outgoing=(NODES[0], NODES[2]))
SAID = Entry(
    index=Index(11),
    term=Term(3),
    kind=EntryKind.MEMBERSHIP,
    base_offset=Offset(6),
    append_time_ns=9,
    control=encode_membership(CHANGE),
)
MESSAGES: list[RaftMessage] = [
    RequestVote(**WHO, last_index=Index(4), last_term=Term(2), pre=True),
    RequestVote(**WHO, last_index=Index(0), last_term=Term(0), transfer=True),
    VoteReply(**WHO, granted=True, pre=True),
    VoteReply(**WHO, granted=False),
    AppendReply(**WHO, match=Index(9)),
    AppendReply(
        **WHO,
        match=Index(1),
        rejected=True,
        rejected_prev=Index(7),
        hint_index=Index(5),
        hint_term=Term(2),
        recovering=True,
    ),
    AppendReply(**WHO, match=Index(4), recovering=True, beginning=3),
    AppendReply(**WHO, match=Index(0), rejected=True, rejected_prev=Index(7), blank=True),
    Heartbeat(**WHO, commit=Index(9), barrier=4, sleep=True),
    HeartbeatReply(**WHO, barrier=4, match=Index(9)),
    HeartbeatReply(**WHO, match=Index(4), beginning=3),
    TimeoutNow(**WHO),
    TailQuery(**WHO, index=Index(5)),
    TailQuery(**WHO, index=Index(5), after=Index(4), asking=3),
    TailReply(**WHO, index=Index(5), state=2, entry_term=Term(2)),
    TailReply(**WHO, index=Index(5), state=2, entry_term=Term(2), newest=(Index(9), Term(3))),
    TailReply(**WHO, index=Index(5), state=0, newest=(Index(0), Term(0))),
    TailReply(**WHO, index=Index(5), state=0, membership=CHANGE, asking=3),
]
ENVELOPES: list[PeerMessage] = [
    *(ReplicaEnvelope(partition=PARTITION, message=message) for message in MESSAGES),
    ReplicaEnvelope(
        partition=PARTITION,
        message=AppendEntries(
            **WHO, prev_index=Index(7), prev_term=Term(1), entries=HEADERS, commit=Index(6), last_index=Index(12)
        ),
        entries=ENTRIES,
    ),
    ReplicaEnvelope(
        partition=PARTITION,
        message=AppendEntries(
            **WHO,
            prev_index=Index(7),
            prev_term=Term(1),
            entries=(),
            commit=Index(6),
            last_index=Index(12),
            beginning=3,
        ),
    ),
    ReplicaEnvelope(
        partition=PARTITION,
        message=AppendEntries(
            **WHO,
            prev_index=Index(10),
            prev_term=Term(3),
            entries=(EntryHeader(SAID.index, SAID.term, SAID.size_bytes, CHANGE),),
            commit=Index(6),
            last_index=Index(12),
        ),
        entries=(SAID,),
    ),
    ReplicaEnvelope(
        partition=PARTITION,
        message=InstallFold(**WHO, index=Index(9), last_term=Term(2), commit=Index(9), last_index=Index(12)),
        fold=b"folded",
    ),
    ReplicaEnvelope(
        partition=PARTITION,
        message=InstallFold(
            **WHO,
            index=Index(0),
            last_term=Term(0),
            commit=Index(9),
            last_index=Index(12),
            floor=Index(7),
            beginning=3,
        ),
        fold=b"folded",
    ),
    QuorumEnvelope(configuration=1, body=b"opaque"),
    Report(
        node=NodeId(2),
        metadata_version=9,
        leaders={PARTITION: Term(3)},
        resigned=(PARTITION,),
        initialised=(ReplicaId(4),),
        leaving=True,
        lost=(ReplicaId(5),),
        memberships={
            PARTITION: ReportedMembership(
                index=Index(7),
                term=Term(3),
                voters=(ReplicaId(1), ReplicaId(2)),
                learners=(ReplicaId(4),),
                joint=True,
                behind_bytes=1 << 40,
                version=8,
            )
        },
        dropped=(ReplicaId(6),),
        unknown=2,
        full=True,
    ),
]


@pytest.mark.parametrize("message", ENVELOPES, ids=lambda item: type(getattr(item, "message", item)).__name__)
def test_a_message_comes_back_as_it_was(message: PeerMessage) -> None:
    """Encoding and decoding lose nothing."""
    exchange = decode_exchange(encode_exchange([message], incarnation=77))

    assert (message,) == exchange.messages
    assert 77 == exchange.incarnation


def test_every_raft_message_is_covered() -> None:
    """A message type that nobody encodes here has no way to another node."""
    covered = {type(item.message).__name__ for item in ENVELOPES if isinstance(item, ReplicaEnvelope)}

    assert set(type_names) == covered


def test_a_membership_that_is_none_is_no_message() -> None:
    """A peer's entry says who counts: what cannot be read must not get to a core."""
    entry = replace(SAID, control=b"\x93\x01\x02\x03")
    message = AppendEntries(
        **WHO, prev_index=Index(10), prev_term=Term(3), entries=HEADERS[:1], commit=Index(6), last_index=Index(12)
    )
    data = encode_exchange([ReplicaEnvelope(partition=PARTITION, message=message, entries=(entry,))], incarnation=77)

    with pytest.raises(InvalidRequest):
        decode_exchange(data)


def test_the_hello_opens_a_stream() -> None:
    """The first message carries who speaks, beside anything else."""
    hello = Hello(
        cluster=b"c" * 16, node=NodeId(1), to=NodeId(2), lane=Lane.BULK, protocol_min=1, protocol_max=2, proof=b"p"
    )

    assert hello == decode_exchange(encode_exchange([], incarnation=1, hello=hello)).hello


def test_content_travels_in_bulk_and_the_rest_does_not_wait_for_it() -> None:
    """Votes, heartbeats and acknowledgements have a lane of their own."""
    bulk = [item for item in ENVELOPES if lane_of(item) is Lane.BULK]

    kinds = [type(item.message).__name__ for item in bulk]  # type: ignore[union-attr]
    assert ["AppendEntries", "AppendEntries", "InstallFold", "InstallFold"] == kinds


def test_sizes_are_about_right() -> None:
    """Queues are bounded by this estimate: it must not be far below what is sent."""
    for message in ENVELOPES:
        assert len(encode_exchange([message], incarnation=1)) <= 2 * size_of(message)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        peer_pb2.ExchangeRequest(replicas=[peer_pb2.ReplicaMessage(topic_id=b"t")]).SerializeToString(),
        peer_pb2.ExchangeRequest(
            replicas=[
                peer_pb2.ReplicaMessage(
                    append_entries=peer_pb2.AppendEntries(entries=[peer_pb2.Entry(index=1, term=1, kind=99)])
                )
            ]
        ).SerializeToString(),
    ],
)
def test_what_this_version_does_not_know_is_refused(data: bytes) -> None:
    """Garbage, a body of a later version, an unknown kind of entry: a typed error, never a guess."""
    with pytest.raises(InvalidRequest):
        decode_exchange(data)
