"""What the controller's state machine can be told, and what it answers: typed values, encoded by their tag. Pure.

A command travels in a `Proposal` with its proposer's name and number, so that one that was proposed twice is applied
once. Decoding checks every field: bytes that are no proposal never enter the quorum's log.

What a command does is decided by the rules that its proposer knew (`rules`; 0: those of before 2026-11-28), whichever
build applies it: one that is read again after an upgrade must do what it did, or all replica ids behind it are others.
"""

from typing import NamedTuple

import msgspec

from cluster.errors import InvalidRequest
from cluster.metadata import Code, TopicConfig

RULES = 1
"""The newest. From 1 on a topic is not made on a node that is not usable, what is lost does not move, and what somebody
cancels stays where it was."""


class RegisterNode(msgspec.Struct, frozen=True, tag="register"):
    """A node makes itself known, or comes with new addresses."""

    node: int
    client_address: str
    peer_address: str
    version: str
    rack: str
    directory: bytes = b""


class SetNodeState(msgspec.Struct, frozen=True, tag="node_state"):
    """The controller has noticed that a node is there, or is not."""

    node: int
    alive: bool


class AddNode(msgspec.Struct, frozen=True, tag="add_node"):
    """A node is to come, at these addresses: it gets an id that nobody had, and that is higher than `above`.

    Up to there configurations name nodes, some of which may not have registered yet.
    """

    client_address: str
    peer_address: str
    rack: str = ""
    above: int = 0


class DrainNode(msgspec.Struct, frozen=True, tag="drain"):
    """A node is to hold nothing any more; `undo`: it may again, and what is on its way from it stays."""

    node: int
    undo: bool = False


class ReplaceNode(msgspec.Struct, frozen=True, tag="replace"):
    """What node `old` holds goes to node `new`; then `old` is removed."""

    old: int
    new: int


class RemoveNode(msgspec.Struct, frozen=True, tag="remove_node"):
    """A node that holds nothing is none of the cluster any more, for ever."""

    node: int


class CreateTopic(msgspec.Struct, frozen=True, tag="create_topic"):
    """A topic with the nodes of each partition's replicas; the first is the preferred leader."""

    name: str
    id: bytes
    placements: list[list[int]]
    replicas: int
    if_absent: bool
    config: TopicConfig = TopicConfig()
    rules: int = 0


class AlterTopic(msgspec.Struct, frozen=True, tag="alter_topic"):
    """Other limits for a topic: fields of `config` that are set; names in `unset` have none again."""

    name: str
    config: TopicConfig
    unset: list[str]


class DeleteTopic(msgspec.Struct, frozen=True, tag="delete_topic"):
    """The topic that has this name now is gone for good."""

    name: str


class MarkInitialised(msgspec.Struct, frozen=True, tag="initialised"):
    """Logs that exist: these replicas may vote from now on."""

    replicas: list[int]


class SetReplicas(msgspec.Struct, frozen=True, tag="set_replicas"):
    """A topic is to have so many copies of each partition; the plan brings it there."""

    name: str
    replicas: int


class Reassign(msgspec.Struct, frozen=True, tag="reassign"):
    """Somebody wants partitions of a topic, by number, on these nodes, the preferred leader first: all or none."""

    topic: str
    nodes: dict[int, list[int]]
    rules: int = 0


class CancelReassign(msgspec.Struct, frozen=True, tag="cancel_reassign"):
    """What moves of these partitions (none named: of all) goes back to where it was."""

    topic: str
    partitions: list[int]
    rules: int = 0


class Move(msgspec.Struct, frozen=True):
    """One partition's next target. `fresh`: of these nodes with new replicas, for the old ones are lost.

    `since`: `Placement.since` as the plan saw it; if it is another one, nothing is done.
    """

    topic: bytes
    number: int
    nodes: list[int]
    since: int
    fresh: list[int] = []


class MoveReplicas(msgspec.Struct, frozen=True, tag="move_replicas"):
    """The plan's next moves."""

    moves: list[Move]


class PreferLeaders(msgspec.Struct, frozen=True, tag="prefer"):
    """Partitions, as (topic, number, node), that are better led from there."""

    leaders: list[tuple[bytes, int, int]]


class FinishReassign(msgspec.Struct, frozen=True, tag="finish_reassign"):
    """A leader's committed membership, which was made for that version, consists of these voters only."""

    topic: bytes
    number: int
    voters: list[int]
    version: int


class Dropped(msgspec.Struct, frozen=True, tag="dropped"):
    """The files of replicas that had to go are gone."""

    replicas: list[int]


class AllocateProducers(msgspec.Struct, frozen=True, tag="producers"):
    """A range of producer ids for one node."""

    count: int


class OpenProducer(msgspec.Struct, frozen=True, tag="open_producer"):
    """A named producer: its id, and an epoch that fences the earlier holder."""

    name: str


class DraftedStage(msgspec.Struct, frozen=True):
    """A stage as it is to be: see `cluster.metadata.Stage`. `replaces`: the spec that it stands in for, empty: none."""

    name: str
    version: int
    spec: bytes
    code: Code
    topic: bytes
    tasks: int
    external: bool = False
    replaces: bytes = b""


class DeployApp(msgspec.Struct, frozen=True, tag="deploy_app"):
    """These stages of an app run from now on, with this code; what else there is of it goes on as it is."""

    name: str
    stages: list[DraftedStage]


class SetPaused(msgspec.Struct, frozen=True, tag="set_paused"):
    """Stages of an app, by name and version, make no works any more, or do so again."""

    app: str
    stages: list[tuple[str, int]]
    paused: bool


class RemoveApp(msgspec.Struct, frozen=True, tag="remove_app"):
    """Stages of an app go, with their tasks' logs and with `topics`, those between the stages; an app without any, too.

    So what is deployed under their names later begins from nothing.
    """

    app: str
    stages: list[tuple[str, int]]
    topics: list[bytes] = []


class Seal(msgspec.Struct, frozen=True, tag="seal"):
    """The last command of the quorum's configuration `number` - 1: who the members are from now on.

    `seats`: nodes with their data directories. Nothing behind it is applied; the new members begin with the state that
    it leaves. With the same members it is what bounds the journal.
    """

    number: int
    seats: list[tuple[int, bytes]]


class Barrier(msgspec.Struct, frozen=True, tag="barrier"):
    """Nothing: whoever sees it applied has seen everything before it."""


Command = (
    RegisterNode
    | SetNodeState
    | AddNode
    | DrainNode
    | ReplaceNode
    | RemoveNode
    | CreateTopic
    | AlterTopic
    | DeleteTopic
    | MarkInitialised
    | SetReplicas
    | Reassign
    | CancelReassign
    | MoveReplicas
    | PreferLeaders
    | FinishReassign
    | Dropped
    | AllocateProducers
    | OpenProducer
    | DeployApp
    | SetPaused
    | RemoveApp
    | Seal
    | Barrier
)


class Refusal(NamedTuple):
    """Why nothing was done: an error's reason, and a sentence."""

    reason: str
    message: str


class Proposal(msgspec.Struct, frozen=True, tag="v1"):
    """A command and whose it is: (client, number) names it for ever."""

    client: bytes
    number: int
    command: Command


class Answer(msgspec.Struct, frozen=True):
    """What became of a command: `reason` empty if it was done, else an error's; `numbers` are its results.

    `topic`: the id of the one that was made, found or altered.
    """

    version: int
    reason: str = ""
    message: str = ""
    numbers: list[int] = []
    topic: bytes = b""


_decoder = msgspec.msgpack.Decoder(Proposal)
_answers = msgspec.msgpack.Decoder(Answer)


def encode(value: Proposal | Answer) -> bytes:
    """Bytes for the quorum's log, or for the way back."""
    return bytes(msgspec.msgpack.encode(value))


def decode_proposal(data: bytes) -> Proposal:
    """The inverse; InvalidRequest if the bytes are no proposal of this version."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"not a controller's command: {error}") from error


def decode_answer(data: bytes) -> Answer:
    """The inverse."""
    return _answers.decode(data)
