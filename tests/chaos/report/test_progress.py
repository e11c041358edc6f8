"""What is shown of a run that goes on, in a terminal and in a log."""

import io
import re

from rich.console import Console

from chaos.history import History, Kind
from chaos.report.progress import Progress, RunState, line, screen
from chaos.report.seen import Seen
from chaos.report.unavailability import unavailable, worst
from tests.chaos.report.sample_run import Sample, sample_history


def _under_way() -> tuple[History, RunState]:
    """At 20 s: a leader is cut off and killed, one send waits since 17 s, one was unknown, one refused."""
    history = History()
    log, nemesis, run = history.scoped("log"), history.scoped("nemesis"), history.scoped("run")
    run.end(0, "run", Kind.OK, "load", 1.0)
    run.end(0, "run", Kind.OK, "roles", 2.0, leaders={"log/0": 1, "log/1": 2}, controller=2)
    run.end(0, "run", Kind.OK, "roles", 3.0, leaders={"log/0": 3, "log/1": 2}, controller=None)
    mended = nemesis.invoke("nemesis", "pause", 4.0, role="one", nodes=[2], options={})
    nemesis.end(mended, "nemesis", Kind.OK, "pause", 6.0)
    nemesis.invoke("nemesis", "kill", 16.0, role="leader", nodes=[3], options={})
    for kind, partition in ((Kind.OK, 0), (Kind.INFO, 1), (Kind.FAIL, 1)):
        number = log.invoke("p", "send", 16.0, partition=partition, key=None, value=kind.value)
        log.end(number, "p", kind, "send", 16.1)
    log.invoke("p", "send", 17.0, partition=0, key=None, value="waits")
    return history, RunState("log, seed 7", 60.0, lambda: 20.0, lambda: "load")


def test_a_line_says_all_of_it() -> None:
    """Time, phase, rates, what is broken, who waits."""
    history, state = _under_way()
    seen = Seen()
    seen.look(history)

    assert (
        "0:20 of 1:00 | load | 0 ok/s 0 fail/s 0 info/s | 2 faults, now kill leader: 3 | "
        "worst unavailability 3 s (log/0), log/0 for 3 s now"
    ) == line(seen, state)
    assert {Kind.OK: 1, Kind.FAIL: 1, Kind.INFO: 1} == seen.count
    assert {"log/0": 3, "log/1": 2} == seen.leaders


def test_looking_often_is_looking_once() -> None:
    """After each event, or at the end: the same counts, faults and windows."""
    history = sample_history(Sample(seconds=40.0, per_s=20.0))
    once, often, part = Seen(), Seen(), History()
    for event in history.events:
        part.events.append(event)
        often.look(part)
    once.look(history)

    assert once == often


def test_the_worst_window_is_that_of_the_report() -> None:
    """Found on the way as it is found at the end."""
    history = sample_history(Sample(seed=2, seconds=120.0, per_s=30.0))
    seen = Seen()
    seen.look(history)
    longest = worst(unavailable(history.events))

    assert longest is not None
    assert (longest[0], round(longest[1].seconds, 6)) == (seen.worst_partition, round(seen.worst_s, 6))


def test_a_client_that_vanished_makes_nothing_unavailable_for_ever() -> None:
    """Its send has no outcome; others, now and then, are acknowledged at once."""
    history = History()
    log = history.scoped("log")
    log.invoke("vanished", "send", 1.0, partition=0, key=None, value="x")
    for second in (2.0, 100.0, 200.0, 300.0):
        number = log.invoke("p", "send", second, partition=0, key=None, value=str(second))
        log.end(number, "p", Kind.OK, "send", second + 0.01)
    seen = Seen()
    seen.look(history)

    assert (0.0, "") == seen.waiting(400.0)


def test_a_refused_condition_is_an_answer() -> None:
    """Nobody waits for a partition that said that its end is another one."""
    history = History()
    number = history.invoke("p", "send", 1.0, partition=0, key=None, value="v", expected_end=7)
    history.end(number, "p", Kind.FAIL, "send", 1.2, error="CONFLICT")
    seen = Seen()
    seen.look(history)

    assert (0.0, "") == seen.waiting(9.0)
    assert 0.0 == seen.worst_s


def test_a_terminal_sees_who_leads_and_what_happened_last() -> None:
    """The screen, without its colours."""
    history, state = _under_way()
    seen, out = Seen(), io.StringIO()
    seen.look(history)
    Console(file=out, width=100).print(screen(seen, state))

    assert "log, seed 7  0:20 of 1:00  load" in out.getvalue()
    assert "node 2 leads 1, node 3 leads 1; controller: nobody known" in out.getvalue()
    assert "1 partition changed leaders" in out.getvalue()
    assert re.search(r"0:06 +pause one: 2: mended", out.getvalue())


def test_a_log_gets_lines_and_a_terminal_a_screen() -> None:
    """From a thread that ends with the run; what came last is always shown."""
    history, state = _under_way()
    for terminal in (False, True):
        out = io.StringIO()
        with Progress(history, state, Console(file=out, force_terminal=terminal, width=100)):
            pass

        assert ("\x1b[" in out.getvalue()) is terminal
        assert "kill leader: 3" in out.getvalue()
