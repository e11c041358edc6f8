"""What nodes say to each other, as bytes: one `ExchangeRequest` holds everything that a turn has for one peer.

Every kind of message has one pair of functions in a table. Entries carry their batch as it came from the producer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import DecodeError

from cluster.errors import InvalidRequest
from cluster.holes import decode_hole
from cluster.membership import decode_membership, encode_membership
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
)
from cluster.metadata import Report
from cluster.records import Entry, EntryKind
from cluster.types import Index, Lane, NodeId, Offset, PartitionId, ReplicaId, Term, TopicId
from cluster.wire.api import batch_from_pb, batch_to_pb
from cluster.wire.pb.riverrun.internal.v1 import peer_pb2
from cluster.wire.reports import decode_report, encode_report, size_of_report


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaEnvelope:
    """A Raft message for one replica, with the content that the core never sees.

    `entries` are those that an AppendEntries names, in its order; `fold` are the bytes of an InstallFold.
    """

    partition: PartitionId
    message: RaftMessage
    entries: tuple[Entry, ...] = ()
    fold: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumEnvelope:
    """A message of the controller's quorum, opaque here."""

    configuration: int
    body: bytes


PeerMessage = ReplicaEnvelope | QuorumEnvelope | Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Opens a stream: who speaks to whom, of which cluster, in which run, in which versions."""

    cluster: bytes
    node: NodeId
    to: NodeId
    lane: Lane
    protocol_min: int
    protocol_max: int
    proof: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One decoded request."""

    incarnation: int
    messages: tuple[PeerMessage, ...]
    hello: Hello | None = None
    wall_ns: int = 0


def lane_of(message: PeerMessage) -> Lane:
    """Content goes in bulk; everything that must be quick does not wait behind it."""
    bulk = isinstance(message, ReplicaEnvelope) and (message.entries or message.fold)
    return Lane.BULK if bulk else Lane.CONTROL


def size_of(message: PeerMessage) -> int:
    """About how many bytes it will take."""
    match message:
        case ReplicaEnvelope():
            return 80 + len(message.fold) + sum(96 + entry.size_bytes for entry in message.entries)
        case QuorumEnvelope():
            return 16 + len(message.body)
        case Report():
            return size_of_report(message)


def encode_exchange(
    messages: Sequence[PeerMessage], *, incarnation: int, hello: Hello | None = None, wall_ns: int = 0
) -> bytes:
    """Everything for one peer, in one message; the order within each kind is kept. `wall_ns`: the sender's clock."""
    request = peer_pb2.ExchangeRequest(incarnation=incarnation, wall_ns=wall_ns)
    if hello is not None:
        request.hello.CopyFrom(hello_to_pb(hello))
    for message in messages:
        match message:
            case ReplicaEnvelope():
                _encode_replica(message, request.replicas.add())
            case QuorumEnvelope():
                request.quorum.add(configuration=message.configuration, body=message.body)
            case Report():
                encode_report(message, request.reports.add())
    return request.SerializeToString()


def decode_exchange(data: bytes) -> Exchange:
    """The inverse; InvalidRequest if the bytes are not an ExchangeRequest, or name a kind that this version lacks."""
    try:
        request = peer_pb2.ExchangeRequest.FromString(data)
    except DecodeError as error:
        raise InvalidRequest("a peer's message cannot be decoded") from error
    try:
        messages: list[PeerMessage] = [_decode_replica(item) for item in request.replicas]
        messages += [QuorumEnvelope(configuration=item.configuration, body=item.body) for item in request.quorum]
        messages += [decode_report(item) for item in request.reports]
        hello = hello_from_pb(request.hello) if request.HasField("hello") else None
    except (KeyError, ValueError) as error:
        raise InvalidRequest(f"a peer's message holds an unknown kind: {error}") from error
    return Exchange(incarnation=request.incarnation, messages=tuple(messages), hello=hello, wall_ns=request.wall_ns)


def hello_to_pb(hello: Hello) -> peer_pb2.Hello:
    """For the first message of a stream."""
    return peer_pb2.Hello(
        cluster_id=hello.cluster,
        node=hello.node,
        lane=hello.lane,
        protocol_min=hello.protocol_min,
        protocol_max=hello.protocol_max,
        proof=hello.proof,
        to=hello.to,
    )


def hello_from_pb(message: peer_pb2.Hello) -> Hello:
    """The inverse; ValueError if it names a lane that there is not."""
    return Hello(
        cluster=message.cluster_id,
        node=NodeId(message.node),
        to=NodeId(message.to),
        lane=Lane(message.lane),
        protocol_min=message.protocol_min,
        protocol_max=message.protocol_max,
        proof=message.proof,
    )


# --- replicas


def _encode_replica(envelope: ReplicaEnvelope, target: peer_pb2.ReplicaMessage) -> None:
    message = envelope.message
    target.topic_id, target.partition = envelope.partition
    target.sender, target.to, target.term = message.sender, message.to, message.term
    if isinstance(message, AppendEntries):
        body = target.append_entries
        body.prev_index, body.prev_term = message.prev_index, message.prev_term
        body.commit, body.last_index, body.beginning = message.commit, message.last_index, message.beginning
        body.search = message.search
        named = sum(entry.last_index - entry.index + 1 for entry in envelope.entries)
        assert named == len(message.entries), "an append travels with the content that it names"
        for entry in envelope.entries:
            _encode_entry(entry, body.entries.add())
    elif isinstance(message, InstallFold):
        fold = target.install_fold
        fold.index, fold.last_term, fold.fold = message.index, message.last_term, envelope.fold
        fold.commit, fold.last_index = message.commit, message.last_index
        fold.floor, fold.beginning = message.floor, message.beginning
    else:
        name, fields = _PLAIN[type(message)]
        body_of = getattr(target, name)
        body_of.SetInParent()
        for field in fields:
            value = getattr(message, field)
            if value:
                setattr(body_of, field, value)
        if isinstance(message, TailReply):
            _encode_tail(message, target.tail_reply)


def _decode_replica(source: peer_pb2.ReplicaMessage) -> ReplicaEnvelope:
    partition = PartitionId(TopicId(source.topic_id), source.partition)
    common = {"sender": ReplicaId(source.sender), "to": ReplicaId(source.to), "term": Term(source.term)}
    kind = source.WhichOneof("body")
    entries: tuple[Entry, ...] = ()
    fold = b""
    message: RaftMessage
    match kind:
        case "append_entries":
            body = source.append_entries
            entries = tuple(_decode_entry(item) for item in body.entries)
            message = AppendEntries(
                **common,  # type: ignore[arg-type]
                prev_index=Index(body.prev_index),
                prev_term=Term(body.prev_term),
                entries=tuple(header for entry in entries for header in headers_of(entry)),
                commit=Index(body.commit),
                last_index=Index(body.last_index),
                beginning=body.beginning,
                search=body.search,
            )
        case "install_fold":
            install = source.install_fold
            fold = install.fold
            message = InstallFold(
                **common,  # type: ignore[arg-type]
                index=Index(install.index),
                last_term=Term(install.last_term),
                commit=Index(install.commit),
                last_index=Index(install.last_index),
                floor=Index(install.floor),
                beginning=install.beginning,
            )
        case None:
            raise ValueError("a replica message without a body")
        case _:
            cls, fields = _PLAIN_BY_NAME[kind]
            body_of = getattr(source, kind)
            message = cls(**common, **{field: getattr(body_of, field) for field in fields})
            if isinstance(message, TailReply):
                message = _decode_tail(message, body_of)
    return ReplicaEnvelope(partition=partition, message=message, entries=entries, fold=fold)


def _encode_tail(message: TailReply, target: peer_pb2.TailReply) -> None:
    if message.membership is not None:
        target.membership = encode_membership(message.membership)
    if message.newest is not None:
        target.newest.SetInParent()
        target.newest.index, target.newest.term = message.newest


def _decode_tail(message: TailReply, source: peer_pb2.TailReply) -> TailReply:
    if source.membership:
        message = replace(message, membership=decode_membership(source.membership))
    if source.HasField("newest"):
        message = replace(message, newest=(Index(source.newest.index), Term(source.newest.term)))
    return message


_PLAIN: dict[type[RaftMessage], tuple[str, tuple[str, ...]]] = {
    RequestVote: ("request_vote", ("last_index", "last_term", "pre", "transfer")),
    VoteReply: ("vote_reply", ("granted", "pre")),
    AppendReply: (
        "append_reply",
        ("match", "rejected", "rejected_prev", "hint_index", "hint_term", "recovering", "beginning", "blank", "search"),
    ),
    Heartbeat: ("heartbeat", ("commit", "barrier", "sleep")),
    HeartbeatReply: ("heartbeat_reply", ("barrier", "match", "beginning")),
    TimeoutNow: ("timeout_now", ()),
    TailQuery: ("tail_query", ("index", "after", "asking")),
    TailReply: ("tail_reply", ("index", "state", "entry_term", "asking")),
}
"""Messages whose fields have the same names on the wire."""
_PLAIN_BY_NAME: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    name: (cls, fields) for cls, (name, fields) in _PLAIN.items()
}


def _encode_entry(entry: Entry, target: peer_pb2.Entry) -> None:
    target.index, target.term, target.kind = entry.index, entry.term, entry.kind
    target.base_offset, target.append_time_ns = entry.base_offset, entry.append_time_ns
    if entry.batch is not None:
        batch_to_pb(entry.batch, target.batch)
    elif entry.control:
        target.control = entry.control


def _decode_entry(source: peer_pb2.Entry) -> Entry:
    return Entry(
        index=Index(source.index),
        term=Term(source.term),
        kind=EntryKind(source.kind),
        base_offset=Offset(source.base_offset),
        append_time_ns=source.append_time_ns,
        batch=batch_from_pb(source.batch) if source.HasField("batch") else None,
        control=source.control,
        hole=decode_hole(source.control) if source.kind == EntryKind.HOLE else None,
    )


def headers_of(entry: Entry) -> Iterator[EntryHeader]:
    """What the core knows of an entry: one header for each index that it stands for."""
    if entry.hole is None:
        membership = decode_membership(entry.control) if entry.kind is EntryKind.MEMBERSHIP else None
        yield EntryHeader(entry.index, entry.term, entry.size_bytes, membership)
        return
    starts = dict(entry.hole.term_starts)
    term, size = entry.term, entry.size_bytes
    for number in range(entry.index, entry.last_index + 1):
        term = starts.get(Index(number), term)
        yield EntryHeader(Index(number), term, size)
        size = 0
