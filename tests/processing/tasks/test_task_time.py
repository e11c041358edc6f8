"""What time it is for a task, whatever the clock of the node that leads it says."""

from dataclasses import dataclass

from cluster.processing.tasks.task_time import TaskTime

S = 1_000_000_000


@dataclass
class Clocks:
    """One that can be wrong, one that counts seconds, and what most nodes say."""

    wall_s: int
    come_s: int
    passed_s: float = 0.0

    def wall_ns(self) -> int:
        """See World."""
        return self.wall_s * S

    def monotonic_s(self) -> float:
        """See World."""
        return self.passed_s

    def come_ns(self) -> int:
        """Of a majority of nodes."""
        return self.come_s * S


def task_time(clocks: Clocks, told_s: int) -> TaskTime:
    """Of a task that was told a time before."""
    return TaskTime(clocks, clocks.come_ns, told_s * S)


def test_a_clock_that_is_ahead_takes_nothing_ahead() -> None:
    """Time goes on by the others'; while those are not known, from where it was."""
    clocks = Clocks(wall_s=1600, come_s=0)
    time = task_time(clocks, 990)
    assert 990 * S == time.now_ns()
    clocks.passed_s = 2
    assert 992 * S == time.now_ns()
    clocks.come_s = 1002
    assert 1002 * S == time.now_ns()
    clocks.passed_s, clocks.come_s = 5, 1005
    assert 1005 * S == time.now_ns()


def test_it_never_goes_back_and_never_stops() -> None:
    """Though a clock was set back, or the others' are behind."""
    clocks = Clocks(wall_s=1000, come_s=1000)
    time = task_time(clocks, 1100)
    for passed_s in (0, 1, 7):
        clocks.passed_s = passed_s
        assert (1100 + passed_s) * S == time.now_ns()
    clocks.wall_s = clocks.come_s = 0
    clocks.passed_s = 8
    assert 1108 * S == time.now_ns()


def test_a_task_that_was_never_told_a_time_begins_by_a_clock() -> None:
    """By most nodes' if they are known, else by the one that there is."""
    assert 1000 * S == task_time(Clocks(wall_s=1600, come_s=1000), 0).now_ns()
    assert 1000 * S == task_time(Clocks(wall_s=1000, come_s=0), 0).now_ns()
