"""Apps in the controller's state: what a deployment makes of those that are there, and what a removal takes along."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controller.commands import AllocateProducers, DeployApp, DraftedStage, RemoveApp, SetPaused
from cluster.controller.state import MetadataState
from cluster.metadata import Stage
from cluster.types import TopicId
from tests.controller.test_state import Machine, commands, create, stage

ONE, TWO = b"1" * 16, b"2" * 16


def machine() -> Machine:
    """Two topics for the logs of tasks, of two partitions each."""
    made = Machine()
    made.do(create("__tasks.a.p.1", id_=ONE))
    made.do(create("__tasks.a.p.2", id_=TWO))
    return made


def deploy(*stages: DraftedStage, name: str = "a") -> DeployApp:
    """Of an app."""
    return DeployApp(name=name, stages=list(stages))


def stages_of(state: MetadataState, name: str = "a") -> list[Stage]:
    """What is there of it."""
    return list(state.apps[name].stages)


def test_a_deployed_app_has_producers_of_its_own():
    """As many ids as tasks, which nobody else gets."""
    made = machine()
    answer, delta = made.do(deploy(stage("p", 1, ONE, b"s", b""), stage("p", 2, TWO, b"s", b"")))
    assert "" == answer.reason
    assert delta is not None
    assert (made.state.apps["a"],) == delta.apps == made.state.everything().apps
    first, second = stages_of(made.state)
    assert first.producer + 2 == second.producer
    assert made.do(AllocateProducers(count=1))[0].numbers[0] == second.producer + 2


def test_other_code_takes_the_place_of_a_stage_and_nothing_else_changes():
    """Its log, producers and whether it is paused stay; stages that are not named go on with their code."""
    made = machine()
    made.do(deploy(stage("p", 1, ONE, b"s", b""), stage("p", 2, TWO, b"s", b"")))
    made.do(SetPaused(app="a", stages=[("p", 1)], paused=True))
    before = stages_of(made.state)
    made.do(deploy(stage("p", 1, ONE, b"t", b"s")))
    first, second = stages_of(made.state)
    assert (before[0].topic, before[0].producer, True) == (first.topic, first.producer, first.paused)
    assert (b"t", b"t" * 32) == (first.spec, first.code.sha256)
    assert before[1] == second
    answer, delta = made.do(deploy(stage("p", 1, ONE, b"t", b"t")))
    assert ("", None) == (answer.reason, delta)


def test_who_did_not_see_what_is_there_is_refused():
    """Somebody else deployed, or removed, meanwhile: look again."""
    made = machine()
    assert "UNAVAILABLE" == made.do(deploy(stage("p", 1, ONE, b"t", b"s")))[0].reason
    made.do(deploy(stage("p", 1, ONE, b"s", b"")))
    for draft in (stage("p", 1, ONE, b"t", b""), stage("p", 1, ONE, b"t", b"u"), stage("p", 1, TWO, b"t", b"s")):
        assert "UNAVAILABLE" == made.do(deploy(draft))[0].reason
    assert "UNAVAILABLE" == made.do(deploy(stage("q", 1, b"9" * 16, b"t", b"")))[0].reason


def test_what_makes_no_sense_is_refused():
    """No stages, one twice, other numbers of tasks than its log has, another app's log."""
    made = machine()
    one = stage("p", 1, ONE, b"s", b"")
    for command in (deploy(), deploy(one, one), deploy(msgspec.structs.replace(one, tasks=3))):
        assert "INVALID_REQUEST" == made.do(command)[0].reason
    made.do(deploy(one))
    answer = made.do(deploy(one, name="b"))[0]
    assert ("INVALID_REQUEST", "the tasks of 'p' would write to app 'a''s log") == (answer.reason, answer.message)


def test_a_removed_stage_takes_its_log_along_and_the_last_one_the_app():
    """In one command, with the topics between the stages: what is deployed later begins from nothing."""
    made = machine()
    made.do(create("__rekey.a.p", id_=b"r" * 16))
    made.do(deploy(stage("p", 1, ONE, b"s", b""), stage("p", 2, TWO, b"s", b"")))
    _, delta = made.do(RemoveApp(app="a", stages=[("p", 1)], topics=[b"r" * 16]))
    assert delta is not None
    assert ((TopicId(ONE), TopicId(b"r" * 16)), ["p@2"]) == (
        delta.deleted,
        [f"{left.name}@{left.version}" for left in delta.apps[0].stages],
    )
    _, delta = made.do(RemoveApp(app="a", stages=[("p", 2)]))
    assert delta is not None
    assert ((TopicId(TWO),), ("a",), ()) == (delta.deleted, delta.removed, delta.apps)
    assert ({}, {}) == (made.state.apps, made.state.topics)


def test_what_is_not_there_is_neither_paused_nor_removed():
    """And the answer says what."""
    made = machine()
    assert "UNKNOWN_APP" == made.do(SetPaused(app="a", stages=[("p", 1)], paused=True))[0].reason
    assert "UNKNOWN_APP" == made.do(RemoveApp(app="a", stages=[("p", 1)]))[0].reason
    made.do(deploy(stage("p", 1, ONE, b"s", b"")))
    assert "app 'a' has no q@1" == made.do(SetPaused(app="a", stages=[("p", 1), ("q", 1)], paused=True))[0].message
    assert "app 'a' has no p@2" == made.do(RemoveApp(app="a", stages=[("p", 2)]))[0].message
    assert not stages_of(made.state)[0].paused


def test_a_state_from_before_there_were_apps_restores():
    """With none."""
    made = machine()
    version, plain = msgspec.msgpack.decode(made.state.encode())
    del plain["apps"]
    restored = MetadataState()
    restored.restore(msgspec.msgpack.encode((version, plain)))
    assert made.state.encode() == restored.encode()


@settings(max_examples=100, deadline=None)
@given(st.lists(commands, max_size=40))
def test_what_must_hold_of_apps_holds_whatever_is_asked(script: list):
    """No two tasks write under one id or to one log, logs are there, and a restored state is the same."""
    made = Machine()
    for command in script:
        made.do(command)
    stages = [stage for app in made.state.apps.values() for stage in app.stages]
    ids = [stage.producer + task for stage in stages for task in range(stage.tasks)]
    assert len(ids) == len(set(ids))
    assert all(producer < made.state.next_producer for producer in ids)
    assert len(stages) == len({stage.topic for stage in stages})
    assert all(len(made.state.topics[stage.topic].partitions) == stage.tasks for stage in stages)
    restored = MetadataState()
    restored.restore(made.state.encode())
    assert made.state.everything() == restored.everything()
