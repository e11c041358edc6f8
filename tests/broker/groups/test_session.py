"""What a coordinator says to one member."""

from cluster.broker.groups.session import Session
from cluster.types import Index, Offset, PartitionId, TopicId
from cluster.wire.attach import coordinator_pb2, held_to_pb

A = PartitionId(TopicId(b"a" * 16), 0)


async def test_a_member_is_told_only_what_is_new_to_it() -> None:
    """Not each change of its group: with a thousand members most are of others."""
    session = Session(("g", 1), 8)
    session.tell(Index(1), [])
    session.tell(Index(2), [])
    session.tell(Index(3), [held_to_pb(A, 5)])
    session.tell(Index(3), [held_to_pb(A, 5)])
    session.tell(Index(4), [held_to_pb(A, 5, position=Offset(7))])
    session.tell(Index(5), [held_to_pb(A, 5, position=Offset(7), asked_back=True)])
    session.tell(Index(6), [held_to_pb(A, 9)])
    session.end(None)
    said = [coordinator_pb2.AttachResponse.FromString(message).holdings async for message in session.messages()]

    assert [[], [(5, False)], [(5, True)], [(9, False)]] == [
        [(held.generation, held.asked_back) for held in holdings.held] for holdings in said
    ]
