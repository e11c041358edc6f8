"""What a member keeps of commands for nodes that follow it."""

from cluster.config import ControllerOptions
from cluster.controller.commands import CreateTopic, Proposal, encode
from cluster.controller.folding import Folding
from cluster.controller.quorum.between import Between, Follow, News, Piece
from cluster.controller.quorum.serving import Serving
from cluster.types import NodeId

FOUR = NodeId(4)


def test_large_commands_are_kept_up_to_a_size():
    """Who is further behind gets the whole state, and then what comes."""
    told: list[Between] = []
    fold, options = Folding(), ControllerOptions(follow_bytes_max=50_000)
    serving = Serving(fold, options, lambda _, message: not told.append(message))

    def applied(number: int) -> None:
        topic = CreateTopic(
            name=f"t{number}", id=b"%016d" % number, placements=[[1]] * 1_000, replicas=1, if_absent=False
        )
        command = encode(Proposal(client=b"c" * 8, number=number, command=topic))
        fold.apply(command)
        serving.applied(command)

    for number in range(100):
        applied(number)
    assert 10 < len(serving._last) < 100
    assert sum(len(command) for _, command in serving._last) == serving._last_bytes <= options.follow_bytes_max
    serving.follow(FOUR, Follow(applied=0))
    for _ in range(3):
        serving.tick(None)
    assert [Piece, News] == [type(message) for message in told]
    applied(100)
    serving.tick(None)
    assert isinstance(told[-1], News)
    assert (101, 1) == (told[-1].first, len(told[-1].commands))
