"""What a node knows of topics and leaders is a fold of what it was told."""

import pytest

from cluster.broker.directory import Directory
from cluster.broker.leaders import Leader, LeaderTable
from cluster.broker.reports import Reports
from cluster.errors import InvalidRequest, TopicDeleted, UnknownPartition, UnknownTopic
from cluster.metadata import App, Code, Delta, Node, Placement, Replica, Report, Stage, Topic
from cluster.types import NodeId, Offset, PartitionId, ProducerId, ReplicaId, Term, TopicId

ID, OTHER = TopicId(b"a" * 16), TopicId(b"b" * 16)
P0, P1 = PartitionId(ID, 0), PartitionId(ID, 1)


def _topic(topic_id: TopicId = ID, name: str = "orders") -> Topic:
    replica = Replica(replica=ReplicaId(1), node=NodeId(1))
    return Topic(name=name, id=topic_id, partitions=(Placement(number=0, replicas=(replica,)),), replicas=1)


def test_a_topic_is_found_by_name_and_id() -> None:
    """A name is a label: an id that does not match means another topic."""
    directory = Directory()
    directory.apply(Delta(version=1, topics=(_topic(),)))

    assert ID == directory.topic("orders").id
    assert ID == directory.topic("orders", ID).id
    with pytest.raises(UnknownTopic):
        directory.topic("orders", OTHER)
    with pytest.raises(UnknownTopic):
        directory.topic("other")


def test_a_deleted_topic_is_a_typed_stop_even_when_its_name_lives_again() -> None:
    """A re-created topic inherits nothing, and whoever means the old one is told."""
    directory = Directory()
    directory.apply(Delta(version=1, topics=(_topic(),)))
    directory.apply(Delta(version=2, deleted=(ID,)))
    directory.apply(Delta(version=3, topics=(_topic(OTHER),)))

    assert OTHER == directory.topic("orders").id
    with pytest.raises(TopicDeleted):
        directory.topic("orders", ID)


def test_a_resync_replaces_what_was_known() -> None:
    """But what was deleted stays deleted."""
    directory = Directory()
    directory.apply(Delta(version=1, topics=(_topic(),)))
    directory.apply(Delta(version=9, topics=(_topic(OTHER, "new"),), deleted=(ID,), resync=True))

    assert ["new"] == list(directory.by_name)
    assert (9, {ID}) == (directory.version, directory.deleted)


def test_partitions_and_addresses_are_checked() -> None:
    """Numbers beyond the topic are refused; an unknown node has no address."""
    directory = Directory()
    node = Node(node=NodeId(1), client_address="127.0.0.1:1", peer_address="127.0.0.1:2")
    directory.apply(Delta(version=1, topics=(_topic(),), nodes=(node,)))

    assert P0 == directory.partition(directory.topic("orders"), 0)
    assert ("127.0.0.1:1", "") == (directory.client_address(NodeId(1)), directory.client_address(NodeId(2)))
    with pytest.raises(UnknownPartition):
        directory.partition(directory.topic("orders"), 1)


def test_the_newest_term_leads() -> None:
    """Late news of an old term changes nothing."""
    table = LeaderTable()
    table.note(P0, NodeId(1), Term(3))
    table.note(P0, NodeId(2), Term(2))

    assert Leader(NodeId(1), Term(3)) == table.get(P0)


def test_nobody_leads_what_was_deleted() -> None:
    """However late somebody says it: it would never be taken back, and counted among what that node leads."""
    directory = Directory()
    table = LeaderTable(directory.deleted)
    directory.apply(Delta(version=1, topics=(_topic(),)))
    table.note(P0, NodeId(1), Term(1))
    directory.apply(Delta(version=2, deleted=(ID,)))
    table.forget_topic(ID)
    table.note(P0, NodeId(1), Term(1))
    table.take(Report(node=NodeId(2), metadata_version=1, leaders={P0: Term(2)}))

    assert {} == table.snapshot()


def test_a_full_report_replaces_what_a_node_was_believed_to_lead() -> None:
    """A node that came back without its old leaderships is believed."""
    table = LeaderTable()
    table.take(Report(node=NodeId(1), metadata_version=1, leaders={P0: Term(1), P1: Term(1)}))
    table.take(Report(node=NodeId(1), metadata_version=1, leaders={P1: Term(2)}, full=True))

    assert (None, Leader(NodeId(1), Term(2))) == (table.get(P0), table.get(P1))


def test_only_the_leader_can_resign() -> None:
    """A late resignation of a former leader leaves its successor alone."""
    table = LeaderTable()
    table.note(P0, NodeId(2), Term(2))
    table.resigned(P0, NodeId(1))
    assert table.get(P0) is not None

    table.forget_node(NodeId(2))
    assert table.get(P0) is None


def test_leaders_are_counted_by_node() -> None:
    """For the status of the cluster."""
    table = LeaderTable()
    table.note(P0, NodeId(1), Term(1))
    table.note(P1, NodeId(1), Term(1))

    assert {1: 2} == table.count_by_node([P0, P1, PartitionId(OTHER, 0)])


def test_a_report_tells_changes_once_and_what_must_be_recorded_until_it_is() -> None:
    """The first one is full."""
    reports = Reports(NodeId(1))
    reports.leads(P0, Term(1))
    reports.initialised(ReplicaId(7))
    first = reports.take(5)
    assert (True, {P0: 1}, (7,)) == (first.full, first.leaders, first.initialised)

    reports.leads(P1, Term(1))
    reports.resigns(P0)
    second = reports.take(5)
    assert (False, {P1: 1}, (P0,), (7,)) == (second.full, second.leaders, second.resigned, second.initialised)

    reports.recorded(ReplicaId(7))
    third = reports.take(6)
    assert ({}, (), ()) == (third.leaders, third.resigned, third.initialised)
    assert not reports.unrecorded


def _stage(name: str, topic: bytes, producer: int, tasks: int = 2) -> Stage:
    code = Code(sha256=b"h" * 32, size_bytes=1, name="retail.py", app="app", offset=Offset(0))
    return Stage(
        name=name, version=1, spec=b"", code=code, topic=TopicId(topic), tasks=tasks, producer=ProducerId(producer)
    )


def test_stages_are_found_by_their_logs_and_tasks_by_their_producers() -> None:
    """Through changes, removals and a resync."""
    directory = Directory()
    one, two, three = _stage("p", b"1" * 16, 10), _stage("q", b"2" * 16, 12, 3), _stage("r", b"3" * 16, 20)
    a, b = App(name="a", stages=(one, two)), App(name="b", stages=(three,))
    assert not directory.is_task_producer(ProducerId(10))
    directory.apply(Delta(version=1, apps=(a, b)))

    assert (a, two) == directory.stage_of(TopicId(b"2" * 16))
    assert directory.stage_of(ID) is None
    assert [10, 11, 12, 13, 14, 20, 21] == _tasks(directory)
    directory.apply(Delta(version=2, removed=("b",), apps=(App(name="a", stages=(two,)),)))
    assert ([12, 13, 14], ["a"]) == (_tasks(directory), list(directory.apps))
    assert directory.stage_of(TopicId(b"1" * 16)) is None
    directory.apply(Delta(version=3, topics=(_topic(),)))
    assert [12, 13, 14] == _tasks(directory)
    directory.apply(Delta(version=9, apps=(b,), resync=True))
    assert ([20, 21], ["b"]) == (_tasks(directory), list(directory.apps))


def _tasks(directory: Directory) -> list[int]:
    return [producer for producer in range(40) if directory.is_task_producer(ProducerId(producer))]


def test_the_clusters_own_topics_are_not_written_by_others() -> None:
    """Whatever they hold."""
    directory = Directory()
    directory.apply(Delta(version=1, topics=(_topic(name="__code"),)))

    assert ID == directory.topic("__code").id
    with pytest.raises(InvalidRequest):
        directory.topic_to_write("__code")
