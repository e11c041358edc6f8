"""When a partition counts as unavailable: while somebody waits for it, not while nobody asks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.history import History, Kind
from chaos.report.unavailability import Window, unavailable, worst

Send = tuple[float, float | None, Kind]


def _windows(sends: list[Send], at_least_s: float = 0.5) -> list[Window]:
    history = History()
    log = history.scoped("log")
    for invoked_s, ended_s, kind in sends:
        number = log.invoke("p", "send", invoked_s, partition=3, key=None, value=str(invoked_s))
        if ended_s is not None:
            log.end(number, "p", kind, "send", ended_s)
    return unavailable(history.events, at_least_s)["log/3"]


@pytest.mark.parametrize(
    ("sends", "expected"),
    [
        ([(0.0, 0.1, Kind.OK), (5.0, 5.1, Kind.OK)], []),
        ([(0.0, 0.1, Kind.OK), (0.9, 1.0, Kind.OK), (1.9, 2.0, Kind.OK)], []),
        ([(1.0, 4.0, Kind.OK)], [Window(1.0, 4.0)]),
        ([(1.0, 4.0, Kind.INFO)], [Window(1.0, 4.0)]),
        ([(1.0, 2.0, Kind.FAIL), (2.5, 4.0, Kind.OK)], [Window(1.0, 4.0)]),
        ([(1.0, 2.0, Kind.FAIL), (8.0, 8.1, Kind.OK)], [Window(1.0, 2.0)]),
        ([(1.0, 2.0, Kind.FAIL), (2.1, 7.5, Kind.INFO), (8.0, 8.1, Kind.OK)], [Window(1.0, 8.1)]),
        ([(1.0, 9.0, Kind.OK), (1.0, 3.0, Kind.OK), (2.0, 6.0, Kind.OK)], [Window(1, 3), Window(3, 6), Window(6, 9)]),
        ([(1.0, None, Kind.INFO)], []),
        ([(1.0, None, Kind.INFO), (1.5, 5.0, Kind.OK)], [Window(1.0, 5.0)]),
    ],
    ids=[
        "nobody asks",
        "seldom, and answered at once",
        "one that waited",
        "one that gave up",
        "refused, then tried again",
        "refused, then not tried for long",
        "several in vain",
        "others are acknowledged meanwhile",
        "a client that vanished at once",
        "a client that vanished when it had heard of another",
    ],
)
def test_a_window_is_a_wish_without_an_answer(sends: list[Send], expected: list[Window]) -> None:
    """By cases."""
    assert expected == _windows(sends)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 60), st.sampled_from([Kind.OK, Kind.FAIL, Kind.INFO])),
        min_size=1,
        max_size=30,
    )
)
def test_no_acknowledgement_is_within_a_window_and_somebody_waits_in_it(sends: list[tuple[int, int, Kind]]) -> None:
    """At each moment of a tenth of a second: no ack inside of any window, and at its beginning a send under way."""
    plain = [(start / 10, (start + takes) / 10, kind) for start, takes, kind in sends]

    for window in _windows(plain, 0.1):
        assert [] == [end for _, end, kind in plain if kind is Kind.OK and window.start_s < end < window.end_s]
        assert any(start <= window.start_s <= end for start, end, _ in plain)


def test_a_refused_condition_is_an_answer() -> None:
    """Whoever was told that the partition's end is another one was not kept waiting."""
    history = History()
    number = history.invoke("p", "send", 1.0, partition=0, key=None, value="v", expected_end=7)
    history.end(number, "p", Kind.FAIL, "send", 4.0, error="CONFLICT")

    assert {"/0": []} == unavailable(history.events)


def test_the_worst_is_named() -> None:
    """The longest of all partitions; none where there was none."""
    assert ("b", Window(1, 4)) == worst({"a": [Window(0, 1)], "b": [Window(1, 4)], "c": []})
    assert worst({"c": []}) is None
