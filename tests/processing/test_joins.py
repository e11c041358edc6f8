"""The interval join: what is kept of each side, and for how long."""

from cluster.processing.app import App
from cluster.processing.event import Event

S = 10**9


class Step(Event):
    """Something that happened at a time."""

    who: str
    at: int


def test_what_nobody_can_meet_is_forgotten_at_once() -> None:
    """One work after the watermark has passed them forgets all of a key, however many they are, and only those."""
    app = App("steps")
    lefts = app.topic("lefts", Step, key="who", time="at", disorder="100s")
    rights = app.topic("rights", Step, key="who", time="at", disorder="100s")

    @app.join(lefts, rights, within="1s", to="pairs")
    def pair(left: Step, right: Step) -> list[int]:
        return [left.at // S, right.at // S]

    with app.test(partitions=1) as t:
        (task,) = t._tasks_of(pair)
        t.send(lefts, *[Step("a", n * S) for n in range(1000, 1100)])
        t.send(rights, *[Step("a", n * S) for n in range(1000, 1100)])
        t.settle()
        full = len(task.store["~pairs", b"a"])
        t.send(lefts, Step("a", 1200 * S), Step("a", 1300 * S))
        t.send(rights, Step("a", 1200 * S), Step("a", 1300 * S))
        works = task._n
        t.settle()
        assert 3 >= task._n - works
        assert 10 * len(task.store["~pairs", b"a"]) < full
        t.send(lefts, Step("a", 1201 * S))
        assert [1201, 1200] == t.read("pairs")[-2:]


def test_each_pair_has_events_of_its_own() -> None:
    """What a function does to one of a pair, the next pair does not see."""
    app = App("steps")
    lefts = app.topic("lefts", Step, key="who")
    rights = app.topic("rights", Step, key="who")

    @app.join(lefts, rights, within="1h", to="pairs")
    def pair(left: Step, right: Step) -> list[int]:
        left.at += 100
        right.at += 100
        return [left.at, right.at]

    with app.test(partitions=1) as t:
        t.send(lefts, Step("a", 1), Step("a", 2))
        t.settle()
        t.send(rights, Step("a", 3), Step("a", 4))
        assert [101, 103, 102, 103, 101, 104, 102, 104] == t.read("pairs")
