"""The groups of one partition of `__groups`: a fold of commands. Pure, deterministic, total.

What cannot be done is an answer with a reason; `apply` raises for nothing but a command that another version of
riverrun wrote, which would be folded differently here. See the package for the rules.
"""

import msgspec

from cluster.broker.groups import commands
from cluster.broker.groups.assignment import plan
from cluster.broker.groups.commands import Answer
from cluster.broker.groups.group import Group, Holding, Member, group_of, plain_of
from cluster.broker.groups.weight import PARTITION_BYTES, Weights, bytes_max, weight_of
from cluster.errors import RefusedToStart
from cluster.types import Index, Offset, PartitionId, Term, TopicId

FORMAT = 2
GROUPS_MAX = 10_000
"""In one partition of `__groups`."""
MEMBERS_MAX = 1_000
"""In one group."""
HELD_MAX = 100_000
"""Partitions that a member may want in all. See `weight` as well."""
LIMIT = "LIMIT_REACHED"


class Groups:
    """All groups of the partition, by name. `touched` are those that changed since somebody looked, and when.

    `retired`: a new group's generations and members are numbered from here, so that nobody who was in a deleted group
    of that name is taken for a member.
    RefusedToStart: the state, or a command, was written by another version of riverrun, in a way not known here.
    """

    def __init__(self, encoded: bytes = b"") -> None:
        self.by_name: dict[str, Group]
        self.by_name, self.retired = _decode(encoded) if encoded else ({}, 0)
        self.touched: dict[str, Index] = {}
        self._weights = Weights(self.by_name)

    def encode(self) -> bytes:
        """See `cluster.log.fold.Machine`."""
        groups = {name: plain_of(group) for name, group in self.by_name.items()}
        return bytes([FORMAT]) + bytes(msgspec.msgpack.encode((groups, self.retired)))

    def apply(self, command: bytes, index: Index, term: Term) -> Answer:  # noqa: ARG002  it is nobody's here
        """See `cluster.log.fold.Machine`. Who led when it was said makes no difference to groups."""
        match commands.decode(command):
            case commands.Join() as join:
                return self._join(join, index)
            case commands.Leave(group=name, member=member):
                return self._leave(name, member, index)
            case commands.LeaveSession(group=name, session=session):
                return self._leave(name, self.by_name.get(name, Group()).member_of(session), index)
            case commands.Release(group=name, member=member, held=held):
                return self._release(name, [(member, held)], index)
            case commands.ReleaseAll(group=name, released=released):
                return self._release(name, released, index)
            case commands.Commit(group=name, member=member, positions=positions):
                return self._commit(name, member, positions, index)
            case commands.Reset(group=name, positions=positions):
                return self._reset(name, positions)
            case commands.Delete(group=name):
                return self._delete(name)
            case commands.ForgetTopic(topic=topic):
                return self._forget(topic, index)

    # --- members

    def _join(self, join: commands.Join, index: Index) -> Answer:
        is_new = join.group not in self.by_name
        if is_new and len(self.by_name) >= GROUPS_MAX:
            return Answer(LIMIT, f"there are {GROUPS_MAX} groups here already: delete some that are not used")
        group = Group(self.retired, max(self.retired, 1)) if is_new else self.by_name[join.group]
        number = group.member_of(join.session)
        known = group.members.get(number)
        same = known is not None and known.topics == join.topics
        if known is not None and same and known.client == join.client:
            return Answer(member=number)
        if sum(join.topics.values()) > HELD_MAX:
            return Answer("INVALID_REQUEST", f"a member can want {HELD_MAX} partitions, not more")
        if known is None and len(group.members) >= MEMBERS_MAX:
            return Answer(LIMIT, f"the group {join.group!r} has its {MEMBERS_MAX} members already")
        number = number or group.next_member
        before, total = self._weights.of(join.group, self.by_name), self._weights.total(self.by_name)
        group.members[number] = Member(join.session, join.client, dict(join.topics))
        weight = weight_of(join.group, group)
        more, room = weight.bytes - before.bytes, bytes_max(new=weight.partitions > before.partitions) - total
        if more > max(room, 0):
            if known is None:
                del group.members[number]
            else:
                group.members[number] = known
            return Answer(member=number) if same else _no_room(join.group, total)  # its new name alone is no reason
        group.next_member = max(group.next_member, number + 1)
        self.by_name[join.group] = group
        self._weights.weighed(join.group, weight)
        if not same:
            self._members_changed(join.group, group, index)
        return Answer(member=number)

    def _leave(self, name: str, number: int, index: Index) -> Answer:
        group = self.by_name.get(name)
        if group is None or group.members.pop(number, None) is None:
            return Answer()  # it has left already
        for partition in group.held_by(number):
            del group.holdings[partition]
        self._weights.changed(name)
        self._members_changed(name, group, index)
        return Answer()

    def _members_changed(self, name: str, group: Group, index: Index) -> None:
        group.generation += 1
        self._rebalance(name, group, index)

    # --- what they hold

    def _release(self, name: str, released: list[tuple[int, list[tuple[PartitionId, int]]]], index: Index) -> Answer:
        group = self.by_name.get(name)
        if group is None:
            return Answer()
        said = [(p, number, generation) for number, held in released for p, generation in held]
        free = [p for p, number, generation in said if _is_held(group, p, number, generation)]
        for partition in free:
            group.holdings.pop(partition, None)
        if free:
            self._weights.changed(name)
            self._rebalance(name, group, index)
        return Answer()  # what was not held needs no release

    def _rebalance(self, name: str, group: Group, index: Index) -> None:
        wanted = {number: member.topics for number, member in group.members.items()}
        holders = {partition: holding.member for partition, holding in group.holdings.items()}
        asked = [partition for partition, holding in group.holdings.items() if holding.asked_back]
        made = plan(wanted, holders, asked)
        if made.grants:
            group.generation += 1
        for partition, number in made.grants:
            group.holdings[partition] = Holding(number, group.generation)
        for partition in made.asked_back:
            group.holdings[partition].asked_back = True
        group.changed = self.touched[name] = index

    # --- positions

    def _commit(self, name: str, number: int, positions: list[tuple[PartitionId, int, Offset]], index: Index) -> Answer:
        group = self.by_name.get(name)
        if group is None or number not in group.members:
            return _unknown_member(name)
        for partition, generation, _ in positions:
            if not _is_held(group, partition, number, generation):
                now = group.holdings.get(partition)
                whose = f"generation {now.generation} of member {now.member}" if now is not None else "nobody's"
                return Answer(
                    "STALE_GENERATION",
                    f"partition {partition.number} is {whose} now, not generation {generation} of member {number}: "
                    "stop working on it",
                )
        for partition, _, position in positions:
            if partition not in group.positions:  # where a group begins must not be told before it is certain
                group.changed = self.touched[name] = index
            group.positions[partition] = max(position, group.positions.get(partition, Offset(0)))
        return Answer()

    def _reset(self, name: str, positions: list[tuple[PartitionId, Offset]]) -> Answer:
        group = self.by_name.get(name)
        if group is None:
            return _unknown_group(name)
        if group.members:
            return _not_empty(name, group)
        more = PARTITION_BYTES * len({partition for partition, _ in positions}.difference(group.positions))
        total = self._weights.total(self.by_name)
        if more and total + more > bytes_max(new=True):
            return _no_room(name, total)
        group.positions.update(positions)
        self._weights.changed(name)
        return Answer()

    # --- ends

    def _delete(self, name: str) -> Answer:
        group = self.by_name.get(name)
        if group is None:
            return _unknown_group(name)
        if group.members:
            return _not_empty(name, group)
        self.retired = max(self.retired, group.generation, group.next_member)
        del self.by_name[name]
        self._weights.changed(name)
        return Answer()

    def _forget(self, topic: TopicId, index: Index) -> Answer:
        for name, group in self.by_name.items():
            self._weights.changed(name)
            for partition in [p for p in group.positions if p.topic == topic]:
                del group.positions[partition]
            wanting = [member for member in group.members.values() if topic in member.topics]
            held = [p for p in group.holdings if p.topic == topic]
            for partition in held:
                del group.holdings[partition]
            for member in wanting:
                del member.topics[topic]
            if wanting or held:
                self._members_changed(name, group, index)
        return Answer()


def _is_held(group: Group, partition: PartitionId, number: int, generation: int) -> bool:
    holding = group.holdings.get(partition)
    return holding is not None and (holding.member, holding.generation) == (number, generation)


def _unknown_group(name: str) -> Answer:
    return Answer("UNKNOWN_GROUP", f"there is no group {name!r}")


def _unknown_member(name: str) -> Answer:
    return Answer("UNKNOWN_MEMBER", f"this member is not in the group {name!r} any more; join again")


def _no_room(name: str, total: int) -> Answer:
    return Answer(
        LIMIT,
        f"there is no room for more of the group {name!r}: the groups kept with it weigh {total} bytes, of at most "
        f"{bytes_max(new=True)}; delete groups that are not used, or join for fewer partitions",
    )


def _not_empty(name: str, group: Group) -> Answer:
    return Answer(
        "GROUP_NOT_EMPTY", f"the group {name!r} has {len(group.members)} members now; stop them first, then try again"
    )


def _decode(encoded: bytes) -> tuple[dict[str, Group], int]:
    if encoded[0] != FORMAT:
        raise RefusedToStart(f"groups were written by another version of riverrun (format {encoded[0]}, not {FORMAT})")
    groups, retired = msgspec.msgpack.decode(encoded[1:])
    return {name: group_of(plain) for name, plain in groups.items()}, retired
