"""How long nobody got through: windows by hand, what they are allowed to be, and random ones against a slow count."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checkers.faults import beyond_minority, faults_of, without
from chaos.checkers.liveness import Bounds, Window, check_liveness, unavailability
from chaos.history import History, Kind

BOUNDS = Bounds(heal_s=10.0, progress_s=5.0, unavailable_s=8.0, grace_s=4.0)


class Told:
    """A history of one workload, of faults and of the run."""

    def __init__(self) -> None:
        self.history = History()
        self.load = self.history.scoped("log")
        self.nemesis = self.history.scoped("nemesis")
        self.values = 0

    def send(self, at: float, until: float | None, kind: Kind = Kind.OK, *, partition: int = 0, **said: Any) -> "Told":
        """`until` None: without an outcome."""
        self.values += 1
        value = {"partition": partition, "key": "k", "value": f"v{self.values}"}
        number = self.load.invoke("p", "send", at, **value, **said)
        if until is not None:
            self.load.end(number, "p", kind, "send", until)
        return self

    def each_second(self, begin: int, end: int, *, partition: int = 0) -> "Told":
        """Acknowledged in no time."""
        for at in range(begin, end):
            self.send(at, at + 0.1, partition=partition)
        return self

    def fault(self, begin: float, end: float, *nodes: int, name: str = "kill", kind: Kind = Kind.OK) -> "Told":
        """Of these nodes."""
        number = self.nemesis.invoke("nemesis", name, begin, role="one", nodes=list(nodes), options={})
        self.nemesis.end(number, "nemesis", kind, name, end)
        return self

    def down(self, begin: float, end: float | None, node: int, *, name: str = "restart") -> "Told":
        """By an operator. `end` None: it did not end."""
        operator = self.history.scoped("operations")
        number = operator.invoke("operator", name, begin, node=node)
        if end is not None:
            operator.end(number, "operator", Kind.OK, name, end, node=node)
        return self

    def rolled(self, *periods: tuple[int, float, float | None]) -> "Told":
        """Node by node, from when it was asked to stop until the cluster answered again, or not."""
        begin, end = periods[0][1], periods[-1][2]
        notes = [(at, node, "restarting") for node, at, _ in periods]
        notes += [(at, node, "ready") for node, _, at in periods if at is not None]
        for at, node, what in sorted(notes):
            run = self.history.scoped("run")
            run.end(run.invoke("run", "node", at, node=node, what=what), "run", Kind.OK, "node", at)
        nodes = [node for node, _, _ in periods]
        return self.fault(begin, end or begin, *nodes, name="rolling_restart") if end else self

    def notes(self, node: int, **times_s: float) -> "Told":
        """What became of a node, and when."""
        run = self.history.scoped("run")
        for what, at in times_s.items():
            run.end(run.invoke("run", "node", at, node=node, what=what), "run", Kind.OK, "node", at)
        return self

    def run(self, **times_s: float) -> "Told":
        """The run's own events."""
        for name, at in times_s.items():
            self.history.scoped("run").end(0, "run", Kind.OK, name, at)
        return self

    def windows(self, at_least_s: float = 1.0) -> list[tuple[float, float]]:
        """Of partition 0."""
        found = unavailability(self.history.events, scope="log", at_least_s=at_least_s)
        return [window.period for window in found]

    def names(self, replicas: int = 3, **options: Any) -> list[str]:
        """Of everything that took too long."""
        found = check_liveness(self.history.events, scope="log", replicas=replicas, bounds=BOUNDS, **options)
        return [anomaly.name for anomaly in found]


def test_a_partition_that_answers_has_no_window() -> None:
    """However seldom anybody asks."""
    assert [] == Told().each_second(0, 5).send(60.0, 60.1).windows()


@pytest.mark.parametrize("kind", [Kind.FAIL, Kind.INFO])
def test_a_window_goes_from_the_first_that_did_not_get_through_to_the_next_that_did(kind: Kind) -> None:
    """Whether it failed, or nobody knows."""
    told = Told().each_second(0, 3)
    for at in range(3, 8):
        told.send(at, at + 0.5, kind)
    assert [(3.0, 9.5)] == told.send(8.0, 9.5).windows()


def test_a_window_goes_on_from_an_acknowledgement_if_others_wait() -> None:
    """The acknowledgement stands between two windows."""
    assert [(1.0, 4.0), (4.0, 9.0)] == Told().send(1.0, 9.0).send(2.0, 4.0).windows()


def test_a_window_ends_where_nobody_tries_any_more() -> None:
    """A pause of the load is nobody's fault; a short one may be a client's own back-off."""
    assert [(1.0, 3.0)] == Told().send(1.0, 3.0, Kind.FAIL).send(60.0, 60.1).windows()
    assert [(1.0, 6.1)] == Told().send(1.0, 3.0, Kind.FAIL).send(6.0, 6.1).windows()
    assert [(1.0, 3.0)] == Told().send(1.0, 3.0, Kind.INFO).windows()


def test_who_vanished_does_not_wait() -> None:
    """A send without an outcome counts as long as anything was heard of its sender."""
    assert [] == Told().send(1.0, None).windows()
    assert [(1.0, 5.0)] == Told().send(1.0, None).send(5.0, 5.0).windows()


def test_a_condition_that_did_not_hold_was_answered() -> None:
    """Only that it was not done says nothing; what nobody knows does."""
    told = Told().each_second(0, 3)
    assert [] == told.send(3.0, 9.0, Kind.FAIL, expected_end=7).windows()
    assert [(10.0, 19.0)] == told.send(10.0, 19.0, Kind.INFO, expected_end=7).windows()


def test_windows_are_each_partition_s_own_and_have_their_proof() -> None:
    """The first send that waited, and the one that got through; other workloads' sends are none of it."""
    told = Told().send(0.0, 6.0).send(1.0, 2.0, partition=1)
    told.history.scoped("other").invoke("p", "send", 0.0, partition=0, key="k", value="o")
    expected = [Window(0, 0.0, 6.0, (1,)), Window(1, 1.0, 2.0, (2,))]
    assert expected == unavailability(told.history.events, scope="log")


def test_too_long_is_too_long() -> None:
    """Where nothing is wrong with the cluster; a second less, and it passes."""
    assert ["unavailable"] == Told().send(0.0, 8.5).names()
    assert [] == Told().send(0.0, 7.5).names()


def test_more_than_a_minority_may_stop_everything() -> None:
    """Two of three do, and the time after that is for recovering; two of five do not."""
    told = Told().fault(0.0, 20.0, 1, 2).send(0.0, 31.0)
    assert [] == told.names()
    assert {"stopped by a minority", "unavailable"} == set(told.names(replicas=5))
    assert ["unavailable"] == Told().fault(0.0, 20.0, 1, 2).send(0.0, 33.0).names()


def test_a_minority_must_not_stop_anything() -> None:
    """After the grace to notice and elect; on each partition."""
    told = Told().fault(10.0, 20.0, 1).each_second(0, 30).send(10.0, 13.9, partition=1)
    assert [] == told.names()
    assert ["stopped by a minority"] == told.send(14.0, 18.5, partition=1).names()


def test_a_fault_that_may_stop_a_partition_is_exempt() -> None:
    """By its name: a full disk refuses what its leader is given, though it is one of three."""
    told = Told().fault(10.0, 20.0, 1, name="full").send(11.0, 20.5)
    assert {"stopped by a minority", "unavailable"} == set(told.names())
    assert [] == told.names(exempt={"full"})


def test_faults_at_the_same_time_add_up() -> None:
    """Each hits one of three, together they hit two; a fault that did not happen hits nobody."""
    told = Told().fault(10.0, 30.0, 1).fault(12.0, 18.0, 2).send(12.0, 21.9)
    assert [] == told.names()
    told = Told().fault(10.0, 30.0, 1).fault(12.0, 18.0, 1).send(12.0, 21.9)
    assert {"stopped by a minority", "unavailable"} == set(told.names())
    told = Told().fault(10.0, 30.0, 1).fault(12.0, 18.0, 2, kind=Kind.FAIL).send(12.0, 21.9)
    assert {"stopped by a minority", "unavailable"} == set(told.names())


def test_faults_that_touch_are_no_majority() -> None:
    """One ends in the moment in which the next begins: that buys no time to recover."""
    touching = Told().each_second(0, 3).fault(3.0, 5.0, 1).fault(5.0, 12.0, 2)
    assert [] == beyond_minority(faults_of(touching.history.events), 1)
    assert ["stopped by a minority"] == touching.send(5.0, 10.0).names()
    at_once = Told().each_second(0, 3).fault(3.0, 3.0, 1, 2)
    assert [(3.0, 3.0)] == beyond_minority(faults_of(at_once.history.events), 1)


def test_a_fault_that_was_not_mended_goes_on() -> None:
    """Nobody knows for how long."""
    (fault,) = faults_of(Told().fault(10.0, 20.0, 1, kind=Kind.INFO).history.events)
    assert float("inf") == fault.ended_s


def test_it_heals_in_time() -> None:
    """From the last fault's end; a run that did not come that far is not judged."""
    assert [] == Told().run(load=0.0, end=50.0).names()
    assert [] == Told().run(quiet=20.0, healed=30.0).names()
    assert ["slow to heal"] == Told().run(quiet=20.0, healed=30.5).names()
    assert ["not healed"] == Told().run(quiet=20.0, end=90.0).names()


def test_it_makes_progress_when_it_has_healed() -> None:
    """Whatever was wrong before is none of that."""
    told = Told().run(quiet=20.0, healed=25.0).fault(0.0, 20.0, 1, 2, 3)
    assert [] == told.send(1.0, 29.9).names()
    assert ["no progress"] == told.send(29.95, 35.5).names()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10)), max_size=6),
    st.integers(0, 25),
    st.integers(1, 10),
)
def test_what_is_left_of_a_period(others: list[tuple[int, int]], begin: int, length: int) -> None:
    """Second by second, as a slow count has it."""
    told = Told()
    for at, seconds in others:
        told.fault(at, at + seconds, 1, 2)
    beyond = beyond_minority(faults_of(told.history.events), 1)
    left = without((begin, begin + length), beyond)
    seconds_left = [
        at for at in range(begin, begin + length) if not any(start <= at < start + long for start, long in others)
    ]

    assert seconds_left == [at for one, other in left for at in range(int(one), int(other))]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.sampled_from((Kind.OK, Kind.INFO))), max_size=10))
def test_windows_are_what_a_slow_count_finds(sends: list[tuple[int, int, Kind]]) -> None:
    """Nobody was acknowledged within one, somebody waited at its beginning, and no second of waiting is outside."""
    told = Told()
    for at, seconds, kind in sorted(sends, key=lambda send: send[0]):
        told.send(2 * at, 2 * (at + seconds) + 1, kind)
    told.history.events.sort(key=lambda event: event.time_s)
    windows = told.windows(at_least_s=0.0)
    acknowledged = [2 * (at + seconds) + 1 for at, seconds, kind in sends if kind is Kind.OK]
    waiting = {moment for at, seconds, _ in sends for moment in range(2 * at, 2 * (at + seconds) + 1)}

    assert not [at for at in acknowledged for begin, end in windows if begin < at < end]
    assert {begin for begin, _ in windows} <= waiting | set(acknowledged)
    assert not [at for at in waiting if not any(begin <= at < end for begin, end in windows)]


def test_a_node_that_an_operator_has_down_is_one_that_is_hit() -> None:
    """By itself it is a minority, and stops nothing; beside a fault of another node it is one of two."""
    stopped = Told().each_second(0, 3).down(3.0, 12.0, 1).send(3.0, 11.0).run(quiet=12.0, healed=12.5)
    assert ["stopped by a minority"] == stopped.names()
    both = Told().each_second(0, 3).down(3.0, 12.0, 1, name="replace").fault(3.0, 12.0, 2).send(3.0, 11.0)
    assert [] == both.run(quiet=12.0, healed=12.5).names()
    lasting = Told().each_second(0, 3).down(3.0, None, 1).fault(5.0, 12.0, 2).send(5.0, 11.0)
    assert [] == lasting.run(quiet=12.0, healed=12.5).names()


def test_who_is_added_or_drained_is_not_down() -> None:
    """Nothing may stop for it."""
    told = Told().each_second(0, 3).down(3.0, 14.0, 1, name="drain").fault(3.0, 14.0, 2).send(3.0, 12.0)
    assert "stopped by a minority" in told.run(quiet=14.0, healed=14.5).names()


def test_a_rolling_restart_has_one_node_down_at_a_time() -> None:
    """It names all nodes, and takes no majority: a partition that stood still all the while was stopped by each."""
    rolled = (1, 10.0, 30.0), (2, 30.01, 50.0), (3, 50.01, 70.0)
    told = Told().each_second(0, 10).rolled(*rolled).send(12.0, 69.0).run(quiet=70.0, healed=70.5)

    assert ["unavailable", *["stopped by a minority"] * 3] == told.names()
    assert [] == Told().each_second(0, 10).rolled(*rolled).send(30.5, 32.0).send(50.5, 53.0).names()


def test_a_node_that_does_not_come_back_from_its_restart_is_down() -> None:
    """Another one beside it is a majority."""
    told = Told().each_second(0, 3).rolled((1, 3.0, None)).fault(5.0, 12.0, 2).send(5.0, 11.0)

    assert [] == told.names()


def _slowly() -> Told:
    """Three nodes are killed, one after the other, and each takes 20 s to come up again."""
    told = Told().each_second(0, 3)
    for node, began, ended in ((1, 2.0, 3.0), (2, 4.0, 12.0), (3, 14.0, 24.0)):
        told.notes(node, started=0.0, up=0.5, killed=began).fault(began, ended, node)
    for node, ended in ((1, 3.0), (2, 12.0), (3, 24.0)):
        told.notes(node, started=ended, up=ended + 20.0)
    return told


def test_a_node_that_is_started_again_is_down_until_it_is_up() -> None:
    """No two faults overlap, and for half a minute there is no majority."""
    assert [] == _slowly().send(4.0, 34.0).names()
    assert {"stopped by a minority"} == set(_slowly().send(4.0, 42.0).names())


def test_a_node_that_starts_is_a_minority_like_any() -> None:
    """By itself it stops nothing; nor does one that comes for the first time, beside any other."""
    alone = Told().each_second(0, 3).notes(1, started=0.0, up=0.5).fault(3.0, 4.0, 1).notes(1, started=4.0, up=20.0)
    assert ["unavailable", "stopped by a minority"] == alone.send(5.0, 15.0).names()
    new = Told().each_second(0, 3).notes(4, started=3.0, up=20.0).fault(3.0, 14.0, 1).send(3.0, 14.0)
    assert ["unavailable", "stopped by a minority"] == new.names()


@pytest.mark.parametrize("what", ["off", "removed"])
def test_a_node_that_goes_for_good_is_not_waited_for(what: str) -> None:
    """It may have been about to start."""
    told = Told().each_second(0, 3).notes(1, started=0.0, up=0.5).notes(1, started=2.0, **{what: 3.0})
    assert ["unavailable", "stopped by a minority"] == told.fault(8.0, 20.0, 2).send(8.0, 18.0).names()


def test_where_nobody_said_that_a_node_was_up_none_is_waited_for() -> None:
    """In older histories."""
    told = Told().each_second(0, 3).notes(1, started=0.0).notes(1, started=2.0)
    assert ["unavailable", "stopped by a minority"] == told.fault(3.0, 14.0, 2).send(3.0, 14.0).names()
