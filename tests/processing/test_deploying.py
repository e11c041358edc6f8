"""What a deployment comes to, from specs and what there is: partitions, tasks, new topics, and what is refused."""

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InvalidRequest, UnknownTopic
from cluster.metadata import App, Code, Placement, Replica, Stage, Topic, TopicConfig
from cluster.processing.deploying import Plan, Wish, plan
from cluster.processing.internal_topics import tasks_topic
from cluster.processing.spec import InputKind, InputSpec, Kind, OutputSpec, ProcessorSpec, encode_spec
from cluster.types import NodeId, Offset, ProducerId, ReplicaId, TopicId
from examples.retail.app import app as retail

CODE = Code(sha256=b"h" * 32, size_bytes=1, name="a.py", app="", offset=Offset(0))
HERE = Replica(replica=ReplicaId(1), node=NodeId(1))


def topic(name: str, partitions: int, replicas: int = 3) -> Topic:
    """One that is there."""
    placements = tuple(Placement(number=number, replicas=(HERE,)) for number in range(partitions))
    return Topic(name=name, id=TopicId(name.encode().ljust(16)[:16]), partitions=placements, replicas=replicas)


def spec(name: str, *inputs: str, to: str = "", tables: str = "", **more: object) -> ProcessorSpec:
    """A stage of app `a`."""
    read = [InputSpec(topic=item) for item in inputs] + [
        InputSpec(topic=item, kind=InputKind.TABLE) for item in tables.split()
    ]
    values: dict = {"app": "a", "version": 1, "kind": Kind.FUNCTION, **more}
    return ProcessorSpec(
        name=name, inputs=tuple(read), outputs=tuple(OutputSpec(topic=item) for item in to.split()), **values
    )


def rekey(name: str, source: str, via: str) -> ProcessorSpec:
    """The stage that re-keys for processor `name`."""
    stage = spec(f"{name}.rekey", source, kind=Kind.REKEY, rekeys="k", rekeys_for=name)
    return msgspec.structs.replace(stage, outputs=(OutputSpec(topic=via, internal=True),))


def planned(
    *specs: ProcessorSpec, there: dict[str, int] | None = None, apps: tuple[App, ...] = (), **wish: int
) -> Plan:
    """With topics of these partition counts."""
    topics = {name: topic(name, count) for name, count in (there or {}).items()}
    return plan(specs, topics=topics, apps={app.name: app for app in apps}, wish=Wish(**wish))


def deployed(*specs: ProcessorSpec, tasks: int = 3) -> App:
    """An app that runs these."""
    stages = [
        Stage(
            name=item.name,
            version=item.version,
            spec=encode_spec(item),
            code=CODE,
            topic=TopicId(b"%016d" % number),
            tasks=tasks,
            producer=ProducerId(1 + number * tasks),
        )
        for number, item in enumerate(specs)
    ]
    return App(name=specs[0].app, stages=tuple(stages))


def bounded(until: str) -> InputSpec:
    """The topic "in", up to a time."""
    return InputSpec(topic="in", until=until)


def made(found: Plan) -> dict[str, int]:
    """Topics that are made, but for logs, by their partitions."""
    return {item.name: item.partitions for item in found.topics if not item.name.startswith("__tasks")}


def test_the_retail_app_gets_what_it_needs():
    """Topics between stages, outputs, dead letters: all as many partitions as the purchases; a log for each stage."""
    found = plan(retail.specs(), topics={"purchases": topic("purchases", 5, replicas=2)}, apps={}, wish=Wish())
    names = ["__rekey.retail.inventory", "stock", "offers", "retail.fraud.dead", "alerts", "__rekey.retail.daily"]
    assert dict.fromkeys([*names, "daily-sales"], 5) == made(found)
    logs = [item for item in found.topics if item.name.startswith("__tasks")]
    assert [tasks_topic("retail", item.name, 1) for item in retail.specs()] == [item.name for item in logs]
    assert ({5}, {5}, 2) == (
        {item.partitions for item in logs},
        {stage.tasks for stage in found.stages},
        found.replicas,
    )


def test_what_is_re_keyed_gets_the_partitions_of_what_is_read_beside_it():
    """A table with seven partitions wants seven; its reader's dead letters, too."""
    stages = rekey("p", "in", "__rekey.a.p"), spec("p", "__rekey.a.p", to="out", tables="prices")
    found = planned(*stages, there={"in": 3, "prices": 7})
    assert {"__rekey.a.p": 7, "out": 7} == made(found)
    assert [3, 7] == [stage.tasks for stage in found.stages]


def test_a_chain_that_the_app_makes_itself_has_the_partitions_of_its_beginning():
    """Whatever the order in which its processors are defined."""
    chain = spec("second", "middle", to="end"), spec("first", "in", to="middle")
    assert {"middle": 4, "end": 4} == made(planned(*chain, there={"in": 4}))


def test_inputs_are_made_only_if_that_is_wanted():
    """The refusal says how."""
    stage = spec("p", "in", tables="prices")
    with pytest.raises(
        UnknownTopic, match=r"a\.p@1 reads the topic 'in', which is not there: riverrun topic create in"
    ):
        planned(stage)
    with pytest.raises(UnknownTopic, match=r"reads the table 'prices'.* create prices --compacted --partitions N"):
        planned(stage, there={"in": 2})
    found = planned(stage, there={"in": 2}, create_inputs=True, partitions_default=9)
    assert TopicConfig(compacted=True) == next(item.config for item in found.topics if item.name == "prices")
    assert {"prices": 2} == made(found)
    assert {"in": 9, "prices": 9} == made(planned(stage, create_inputs=True, partitions_default=9))


@pytest.mark.parametrize(
    ("words", "stages", "there"),
    [
        (r"a\.p@1: prices has 5 partitions and in 3", [spec("p", "in", tables="prices")], {"in": 3, "prices": 5}),
        (r"a\.p@1 wants 4 tasks for 3 partitions", [spec("p", "in", tasks=4)], {"in": 3}),
        (r"a name of \d+ characters", [spec("p" * 250, "in")], {"in": 3}),
        (
            "would both need the topic '__tasks.a.p.q.1'",
            [spec("p.q", "in"), spec("q", "in", app="a.p")],
            {"in": 3},
        ),
    ],
)
def test_what_cannot_be_is_refused(words: str, stages: list[ProcessorSpec], there: dict[str, int]):
    """In a sentence that names both sides."""
    with pytest.raises(InvalidRequest, match=words):
        planned(*stages, there=there)


def test_what_runs_may_get_other_code_but_no_other_inputs():
    """What changes what its positions and sequences mean wants a new version, which is then new beside it."""
    was = spec("p", "in", to="out")
    app = deployed(was)
    there = {"in": 3, "out": 3}
    same = planned(msgspec.structs.replace(was, stores=("s",), on_error="skip"), there=there, apps=(app,))
    assert ([], app.stages[0]) == (same.topics, same.stages[0].before)
    for words, other in (
        ("reads in in it, not other", spec("p", "other", to="out")),
        ("reads in in it, not in, prices \\(table\\)", spec("p", "in", to="out", tables="prices")),
        ("writes out in it, not nothing", spec("p", "in")),
        ("is function in it, not window", spec("p", "in", to="out", kind=Kind.WINDOW)),
        ("has tasks: 3 in it, not 2", spec("p", "in", to="out", tasks=2)),
        ("not in \\(from -24h\\)", msgspec.structs.replace(was, inputs=(InputSpec(topic="in", start="-24h"),))),
        ("not in \\(key k\\)", msgspec.structs.replace(was, inputs=(InputSpec(topic="in", key="k"),))),
        ("not in \\(until 2026-01-01\\)", msgspec.structs.replace(was, inputs=(bounded("2026-01-01"),))),
    ):
        with pytest.raises(InvalidRequest, match=words + ".*: give it a new version"):
            planned(other, there={**there, "other": 3, "prices": 3}, apps=(app,))
    ended = deployed(msgspec.structs.replace(was, inputs=(bounded("2026-01-01"),)))  # its event time is at its end
    with pytest.raises(InvalidRequest, match=r"in \(until 2026-01-01\) in it, not in \(until 2026-02-01\): give it"):
        planned(msgspec.structs.replace(was, inputs=(bounded("2026-02-01"),)), there=there, apps=(ended,))
    letters = InputSpec(topic="dead", kind=InputKind.PARKED)
    lenient = msgspec.structs.replace(
        was, inputs=(*was.inputs, letters), outputs=(*was.outputs, OutputSpec(topic="dead")), on_error="dead_letter"
    )
    assert app.stages[0] == planned(lenient, there=there, apps=(app,)).stages[0].before
    beside = planned(spec("p", "in", to="out", version=2), there=there, apps=(app,))
    assert (["__tasks.a.p.2"], None) == ([item.name for item in beside.topics], beside.stages[0].before)


def test_what_an_earlier_deployment_left_behind_is_made_anew_as_it_has_to_be():
    """A topic between stages that no stage writes is nobody's, whatever its partitions."""
    stages = rekey("p", "in", "__rekey.a.p"), spec("p", "__rekey.a.p", to="out")
    assert {"__rekey.a.p": 3, "out": 3} == made(planned(*stages, there={"in": 3, "__rekey.a.p": 8}))
    app = deployed(*stages)
    found = planned(*stages, there={"in": 3, "out": 3, "__rekey.a.p": 3}, apps=(app,))
    assert [] == found.topics


names = st.sampled_from(["in", "b", "c", "d"])
specs = st.builds(
    lambda number, inputs, outs, tasks: spec(f"p{number}", *inputs, to=" ".join(outs), tasks=tasks),
    st.integers(0, 9),
    st.lists(names, min_size=1, max_size=2, unique=True),
    st.lists(names, max_size=2, unique=True),
    st.integers(0, 3),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(specs, min_size=1, max_size=4, unique_by=lambda item: item.name),
    st.dictionaries(names, st.integers(2, 3)),
    st.booleans(),
)
def test_after_a_deployment_all_that_a_stage_reads_has_as_many_partitions(
    stages: list[ProcessorSpec],
    there: dict[str, int],
    wanted: bool,  # noqa: FBT001
):
    """Whatever reads and writes what, in circles, too; or it is refused, and with a reason that is one."""
    try:
        found = planned(*stages, there=there, create_inputs=wanted, partitions_default=2)
    except UnknownTopic:
        written = {out.topic for stage in stages for out in stage.outputs}
        missing = {item.topic for stage in stages for item in stage.inputs} - written - set(there)
        assert missing
        assert not wanted
        return
    except InvalidRequest as error:
        refused = error.message
    else:
        refused = ""
    if refused:
        assert re.search("have as many|tasks for 2 partitions", refused)
        return
    counts = there | made(found)
    for stage, item in zip(stages, found.stages, strict=True):
        assert {counts[read.topic] for read in stage.inputs} == {counts[stage.inputs[0].topic]}
        assert 1 <= item.tasks <= counts[stage.inputs[0].topic]
        assert {out.topic for out in stage.outputs} <= set(counts)
    assert not set(there) & set(made(found))
