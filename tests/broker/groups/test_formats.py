"""Bytes that have been written: they are read as they were meant, or refused with a typed error."""

import msgspec
import pytest

from cluster.broker.groups import commands
from cluster.broker.groups.state import FORMAT, Groups
from cluster.errors import RefusedToStart
from cluster.types import Index, Offset, PartitionId, Term, TopicId

T = TopicId(b"t" * 16)
P = PartitionId(T, 0)
T_HEX = "c410" + "74" * 16
STATE_2 = (
    f"029281a16796040304929401c40161a1619192{T_HEX}049402c40162a1629192{T_HEX}0494"
    f"95{T_HEX}000102c295{T_HEX}010102c295{T_HEX}020102c395{T_HEX}030204c29193{T_HEX}000700"
)
"""Two members of four partitions: one position, one partition asked back, one that has moved."""


def test_the_state_that_landed_is_still_read() -> None:
    """Every field of it."""
    groups = Groups(bytes.fromhex(STATE_2))
    group = groups.by_name["g"]

    assert ["a", "b"] == [member.client for member in group.members.values()]
    assert [(1, 2, False), (1, 2, False), (1, 2, True), (2, 4, False)] == [
        (holding.member, holding.generation, holding.asked_back) for holding in group.holdings.values()
    ]
    assert {P: 7} == group.positions
    assert STATE_2 == groups.encode().hex(), "what is written today has a sample"


def test_a_state_of_another_format_is_refused() -> None:
    """Taken for one of this format it would be other members, or none."""
    for other in (FORMAT - 1, FORMAT + 1):
        with pytest.raises(RefusedToStart, match=f"format {other}"):
            Groups(bytes([other]) + bytes.fromhex(STATE_2)[1:])


@pytest.mark.parametrize(
    ("command", "written"),
    [
        (
            commands.Join("g", b"s", "c", {T: 4}),
            f"85a474797065a46a6f696ea567726f7570a167a773657373696f6ec40173a6636c69656e74a163a6746f7069637381{T_HEX}04",
        ),
        (commands.Leave("g", 1), "83a474797065a56c65617665a567726f7570a167a66d656d62657201"),
        (
            commands.LeaveSession("g", b"s"),
            "83a474797065ad6c656176655f73657373696f6ea567726f7570a167a773657373696f6ec40173",
        ),
        (
            commands.Release("g", 1, [(P, 2)]),
            f"84a474797065a772656c65617365a567726f7570a167a66d656d62657201a468656c64919292{T_HEX}0002",
        ),
        (
            commands.Commit("g", 1, [(P, 2, Offset(7))]),
            f"84a474797065a6636f6d6d6974a567726f7570a167a66d656d62657201a9706f736974696f6e73919392{T_HEX}000207",
        ),
        (
            commands.Reset("g", [(P, Offset(7))]),
            f"83a474797065a57265736574a567726f7570a167a9706f736974696f6e73919292{T_HEX}0007",
        ),
        (
            commands.ReleaseAll("g", [(1, [(P, 2)])]),
            f"83a474797065ab72656c656173655f616c6ca567726f7570a167a872656c6561736564919201919292{T_HEX}0002",
        ),
        (commands.Delete("g"), "82a474797065a664656c657465a567726f7570a167"),
        (commands.ForgetTopic(T), f"82a474797065ac666f726765745f746f706963a5746f706963{T_HEX}"),
    ],
)
def test_commands_that_landed_are_still_read(command: commands.Command, written: str) -> None:
    """From a log that an earlier version wrote."""
    assert command == commands.decode(bytes.fromhex(written))
    assert written == commands.encode(command).hex()


def test_a_command_that_is_not_known_is_refused() -> None:
    """A state that skipped it would be another one than its peers'."""
    unknown = msgspec.msgpack.encode({"type": "of a later version", "group": "g"})
    with pytest.raises(RefusedToStart, match="another version"):
        Groups().apply(unknown, Index(1), Term(1))
