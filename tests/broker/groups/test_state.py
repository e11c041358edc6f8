"""The state of groups, command by command: transcripts of who holds what."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.broker.groups import commands, weight
from cluster.broker.groups.commands import Answer, Command
from cluster.broker.groups.group import Group
from cluster.broker.groups.state import Groups
from cluster.broker.groups.weight import weight_of
from cluster.types import Index, Offset, PartitionId, Term, TopicId

T = TopicId(b"t" * 16)
HEAD_BYTES = 32
"""Of a state: its format, and what is kept besides the groups."""


class Script:
    """A state and its log."""

    def __init__(self) -> None:
        self.groups = Groups()
        self.said: list[bytes] = []

    def do(self, command: Command) -> Answer:
        """One more entry."""
        self.said.append(commands.encode(command))
        return self.groups.apply(self.said[-1], Index(len(self.said)), Term(1))

    def join(self, session: str, partitions: int = 4) -> int:
        """A member comes."""
        return self.do(commands.Join("g", session.encode(), session, {T: partitions})).member

    def release_all_asked(self) -> None:
        """Everybody gives back what was asked for."""
        for partition, holding in list(self.group.holdings.items()):
            if holding.asked_back:
                self.do(commands.Release("g", holding.member, [(partition, holding.generation)]))

    @property
    def group(self) -> Group:
        """The only one."""
        return self.groups.by_name["g"]

    def told(self) -> str:
        """Who holds what, by partition: member.generation, with ! where it was asked back."""
        held = sorted(self.group.holdings.items())
        return " ".join(f"{p.number}:{h.member}.{h.generation}{'!' if h.asked_back else ''}" for p, h in held)


def test_one_then_two_then_one() -> None:
    """Only what must move stops; generations rise with each change of hands."""
    script = Script()
    assert 1 == script.join("a")
    assert "0:1.2 1:1.2 2:1.2 3:1.2" == script.told()
    assert 2 == script.join("b")
    assert "0:1.2 1:1.2 2:1.2! 3:1.2!" == script.told()
    script.do(commands.Release("g", 1, [(PartitionId(T, 3), 2)]))
    assert "0:1.2 1:1.2 2:1.2! 3:2.4" == script.told()
    script.do(commands.Leave("g", 1))
    assert "0:2.6 1:2.6 2:2.6 3:2.4" == script.told()


def test_what_several_members_release_goes_together() -> None:
    """By one plan, with one new generation; what one of them does not hold is no matter for the others."""
    script = Script()
    script.join("a", 6)
    script.join("b", 6)
    script.release_all_asked()
    script.join("c", 6)
    assert "0:1.2 1:1.2 2:1.2! 3:2.4 4:2.5 5:2.6!" == script.told()
    first, second, nobody = (
        (number, [(PartitionId(T, partition), generation)])
        for number, partition, generation in [(1, 2, 2), (2, 5, 6), (9, 0, 2)]
    )
    assert "" == script.do(commands.ReleaseAll("g", [first, nobody, second])).reason
    assert "0:1.2 1:1.2 2:3.8 3:2.4 4:2.5 5:3.8" == script.told()


def test_who_comes_back_with_its_session_keeps_everything() -> None:
    """The same member, and no new generation."""
    script = Script()
    script.join("a")
    script.join("b")
    before, generation = script.told(), script.group.generation
    assert 1 == script.join("a")
    assert (before, generation) == (script.told(), script.group.generation)
    script.do(commands.Leave("g", 1))
    assert 3 == script.join("a"), "who was let go comes back as somebody new"


def test_a_stale_generation_commits_nothing() -> None:
    """Not even the other positions of the same commit."""
    script = Script()
    script.join("a")
    script.join("b")
    script.release_all_asked()
    mine, lost = (PartitionId(T, 0), 2, Offset(7)), (PartitionId(T, 3), 2, Offset(7))
    answer = script.do(commands.Commit("g", 1, [mine, lost]))

    assert "STALE_GENERATION" == answer.reason
    assert "generation 5 of member 2" in answer.message
    assert {} == script.group.positions
    assert "" == script.do(commands.Commit("g", 1, [mine])).reason
    assert {PartitionId(T, 0): 7} == script.group.positions


def test_where_a_group_begins_is_news() -> None:
    """A first position must be committed before anybody is told it; later ones are the member's own."""
    script = Script()
    script.join("a")
    script.do(commands.Commit("g", 1, [(PartitionId(T, 0), 2, Offset(5))]))
    assert len(script.said) == script.group.changed == script.groups.touched["g"]
    script.do(commands.Commit("g", 1, [(PartitionId(T, 0), 2, Offset(6))]))
    assert len(script.said) - 1 == script.group.changed


def test_a_position_never_goes_back_but_by_a_reset() -> None:
    """And a group with members cannot be reset."""
    script = Script()
    script.join("a")
    script.do(commands.Commit("g", 1, [(PartitionId(T, 0), 2, Offset(9))]))
    assert "" == script.do(commands.Commit("g", 1, [(PartitionId(T, 0), 2, Offset(4))])).reason
    assert {PartitionId(T, 0): 9} == script.group.positions
    assert "GROUP_NOT_EMPTY" == script.do(commands.Reset("g", [(PartitionId(T, 0), Offset(2))])).reason
    script.do(commands.Leave("g", 1))
    assert "" == script.do(commands.Reset("g", [(PartitionId(T, 0), Offset(2))])).reason
    assert {PartitionId(T, 0): 2} == script.group.positions


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (commands.Commit("nobody", 1, []), "UNKNOWN_MEMBER"),
        (commands.Commit("g", 9, []), "UNKNOWN_MEMBER"),
        (commands.ReleaseAll("g", [(9, [(PartitionId(T, 0), 2)])]), ""),
        (commands.LeaveSession("g", b"somebody else"), ""),
        (commands.LeaveSession("nobody", b"a"), ""),
        (commands.ReleaseAll("nobody", [(1, [(PartitionId(T, 0), 2)])]), ""),
        (commands.ReleaseAll("g", [(1, [(PartitionId(T, 0), 1)])]), ""),
        (commands.Reset("nobody", []), "UNKNOWN_GROUP"),
        (commands.Delete("nobody"), "UNKNOWN_GROUP"),
        (commands.Delete("g"), "GROUP_NOT_EMPTY"),
        (commands.Join("g", b"s", "", {T: 100_001}), "INVALID_REQUEST"),
        (commands.Join("new", b"s", "", {T: 100_001}), "INVALID_REQUEST"),
    ],
)
def test_what_cannot_be_done_is_an_answer(command: Command, reason: str) -> None:
    """And changes nothing."""
    script = Script()
    script.join("a")
    before = script.groups.encode()

    assert reason == script.do(command).reason
    assert before == script.groups.encode()


def test_a_topic_that_is_gone_is_forgotten() -> None:
    """With its positions and what was held of it."""
    script = Script()
    script.join("a")
    script.do(commands.Commit("g", 1, [(PartitionId(T, 0), 2, Offset(9))]))
    script.do(commands.ForgetTopic(T))

    assert ("", {}) == (script.told(), script.group.positions)
    assert {} == script.group.members[1].topics


def test_a_topic_that_is_gone_is_taken_from_who_did_not_want_it_any_more() -> None:
    """It was asked back and not released: whoever holds it is told that it is lost."""
    script = Script()
    script.join("a")
    other = TopicId(b"o" * 16)
    script.do(commands.Join("g", b"a", "a", {other: 1}))
    assert all(holding.asked_back for p, holding in script.group.holdings.items() if p.topic == T)
    script.do(commands.ForgetTopic(T))

    assert {PartitionId(other, 0)} == set(script.group.holdings)
    assert len(script.said) == script.group.changed == script.groups.touched["g"]


def test_a_group_that_is_made_again_knows_nobody_of_before() -> None:
    """Who was in the deleted group has another number and other generations: its commits are refused."""
    script = Script()
    first = script.join("a")
    generations = {holding.generation for holding in script.group.holdings.values()}
    script.do(commands.Leave("g", first))
    script.do(commands.Delete("g"))
    script.groups = Groups(script.groups.encode())
    again = script.join("a")

    assert again > first
    assert not generations & {holding.generation for holding in script.group.holdings.values()}
    old = commands.Commit("g", first, [(PartitionId(T, 0), max(generations), Offset(500))])
    assert "UNKNOWN_MEMBER" == script.do(old).reason


def test_what_is_new_is_refused_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new group, more partitions, positions that were not there; members of what is there come and go as before."""
    script = Script()
    script.join("a")
    script.do(commands.Commit("g", 1, [(PartitionId(T, 0), 2, Offset(7))]))
    monkeypatch.setattr(weight, "NEW_BYTES_MAX", weight_of_all(script.groups))
    before = script.groups.encode()
    for new in (
        commands.Join("h", b"b", "b", {T: 1}),
        commands.Join("g", b"b", "b", {T: 5}),
        commands.Join("g", b"a", "a", {T: 5}),
    ):
        assert "LIMIT_REACHED" == script.do(new).reason
        assert before == script.groups.encode()
    assert 2 == script.join("b")
    script.release_all_asked()
    for partition, holding in script.group.holdings.items():
        held = partition, holding.generation, Offset(9)
        assert "" == script.do(commands.Commit("g", holding.member, [held])).reason
    script.do(commands.Leave("g", 1))
    script.do(commands.Leave("g", 2))
    assert "LIMIT_REACHED" == script.do(commands.Reset("g", [(PartitionId(T, 4), Offset(2))])).reason
    assert "" == script.do(commands.Reset("g", [(PartitionId(T, 3), Offset(2))])).reason
    assert 3 == script.join("c"), "a group that had all of this comes back"
    assert "0:3" in script.told()


def test_even_members_of_what_is_there_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is there already keeps its place, though not with a longer name."""
    script = Script()
    script.join("a")
    monkeypatch.setattr(weight, "NEW_BYTES_MAX", 0)
    monkeypatch.setattr(weight, "BYTES_MAX", weight_of_all(script.groups))
    refused = script.do(commands.Join("g", b"b", "b", {T: 4}))
    longer = script.do(commands.Join("g", b"a", "a longer name", {T: 4}))

    assert ("LIMIT_REACHED", "") == (refused.reason, longer.reason)
    assert (1, "a") == (longer.member, script.group.members[1].client)
    assert [1] == list(script.group.members)


names, clients = st.sampled_from(["g", "g", "h"]), st.sampled_from(["", "a client"])
wanted = st.sampled_from([{T: 4}, {T: 4}, {T: 2}])
sessions = st.sampled_from([b"a", b"b", b"c"])
numbers = st.integers(1, 5)
partitions = st.builds(PartitionId, st.just(T), st.integers(0, 3))
held = st.lists(st.tuples(partitions, st.integers(1, 12)), max_size=3)
anything = st.one_of(
    st.builds(commands.Join, names, sessions, clients, wanted),
    st.builds(commands.Leave, st.just("g"), numbers),
    st.builds(commands.LeaveSession, st.just("g"), sessions),
    st.builds(commands.Release, st.just("g"), numbers, held),
    st.builds(commands.ReleaseAll, st.just("g"), st.lists(st.tuples(numbers, held), max_size=3)),
    st.builds(
        commands.Commit,
        st.just("g"),
        numbers,
        st.lists(st.tuples(partitions, st.integers(1, 12), st.integers(0, 9).map(Offset)), max_size=2),
    ),
    st.builds(commands.Reset, st.just("g"), st.lists(st.tuples(partitions, st.integers(0, 9).map(Offset)), max_size=2)),
    st.just(commands.Delete("g")),
    st.just(commands.ForgetTopic(T)),
)


@given(st.lists(anything, max_size=40), st.sampled_from([300, 600, 1 << 20]), st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_is_said_the_rules_hold(said: list[Command], bytes_max: int, data: st.DataObject) -> None:
    """One holder who is a member, generations that rise, positions that do not fall; a snapshot continues alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight, "NEW_BYTES_MAX", bytes_max)
        patch.setattr(weight, "BYTES_MAX", bytes_max + 40)
        hold(said, data.draw(st.integers(0, len(said))))


def hold(said: list[Command], cut: int) -> None:
    """The rules, after each command; at `cut` a replica begins with a snapshot."""
    script = Script()
    generations: dict[PartitionId, int] = {}
    other: Groups | None = None
    for place, command in enumerate(said):
        if place == cut:
            other = Groups(script.groups.encode())
        before = {name: dict(group.positions) for name, group in script.groups.by_name.items()}
        weighed = weight_of_all(script.groups)
        answer = script.do(command)
        if other is not None:
            assert answer == other.apply(script.said[-1], Index(len(script.said)), Term(1))
            assert script.groups.encode() == other.encode()
        assert len(script.groups.encode()) <= weight_of_all(script.groups) + HEAD_BYTES
        assert weight_of_all(script.groups) <= max(weighed, weight.BYTES_MAX)
        if not isinstance(command, commands.Join | commands.Reset):
            assert weight_of_all(script.groups) <= weighed
        for name, group in script.groups.by_name.items():
            for holding in group.holdings.values():
                assert holding.member in group.members
                assert T in group.members[holding.member].topics
                assert holding.generation <= group.generation
            if not isinstance(command, commands.Reset | commands.ForgetTopic):
                for partition, position in before.get(name, {}).items():
                    assert group.positions[partition] >= position
        for partition, holding in script.groups.by_name.get("g", Group()).holdings.items():
            assert holding.generation >= generations.get(partition, 0)
            generations[partition] = holding.generation


def weight_of_all(groups: Groups) -> int:
    """Weighed anew, and as the state has it."""
    total = sum(weight_of(name, group).bytes for name, group in groups.by_name.items())
    assert total == groups._weights.total(groups.by_name)
    return total
