"""The search for one order finds it where there is one, and only there: small histories against trying everything."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checkers.registers import Operation, Result, Verb, find_order

CREATE, ENSURE, ALTER, LOOK, DELETE = Verb.CREATE, Verb.ENSURE, Verb.ALTER, Verb.LOOK, Verb.DELETE
DONE, REFUSED, UNKNOWN = Result.DONE, Result.REFUSED, Result.UNKNOWN
NEVER_S = float("inf")
Topic = tuple[str, int, int | None]
"""Id, partitions, what is kept."""


def op(
    verb: Verb,
    result: Result,
    invoked_s: float,
    ended_s: float = NEVER_S,
    *,
    id_: str = "",
    kept: int | None = None,
    echo_until_s: float = 0.0,
) -> Operation:
    """One operation; all topics have one partition."""
    return Operation(
        verb=verb,
        result=result,
        invoked_s=invoked_s,
        ended_s=ended_s,
        id=id_,
        partitions=1,
        kept=kept,
        echo_until_s=echo_until_s,
    )


def made(id_: str, invoked_s: float, ended_s: float) -> Operation:
    """It was created."""
    return op(CREATE, DONE, invoked_s, ended_s, id_=id_)


def seen(id_: str, invoked_s: float, ended_s: float, *, kept: int | None = None) -> Operation:
    """It was there."""
    return op(LOOK, DONE, invoked_s, ended_s, id_=id_, kept=kept)


GOOD = {
    "one after the other": [made("a", 1, 2), seen("a", 3, 4), op(DELETE, DONE, 5, 6), op(LOOK, REFUSED, 7, 8)],
    "two make it, one is refused": [made("a", 1, 5), op(CREATE, REFUSED, 2, 4)],
    "an unknown one was made": [op(CREATE, UNKNOWN, 1), op(CREATE, REFUSED, 2, 3), seen("x", 4, 5)],
    "an unknown deletion came late": [
        made("a", 1, 2),
        op(DELETE, UNKNOWN, 3),
        seen("a", 4, 5),
        seen("a", 6, 7),
        made("b", 8, 9),
    ],
    "an unknown one never was": [op(CREATE, UNKNOWN, 1), op(LOOK, REFUSED, 2, 3), op(DELETE, REFUSED, 4, 5)],
    "ensured by two": [op(ENSURE, DONE, 1, 4, id_="a"), op(ENSURE, DONE, 2, 5, id_="a")],
    "ensured, with other limits": [
        op(CREATE, DONE, 1, 2, id_="a", kept=5),
        op(ENSURE, DONE, 3, 4, id_="a"),
        op(ENSURE, REFUSED, 5, 6, kept=6),
    ],
    "altered": [made("a", 1, 2), op(ALTER, DONE, 3, 4, kept=7), seen("a", 5, 6, kept=7)],
    "sent twice, the first came last": [
        made("a", 1, 2),
        op(ALTER, DONE, 3, 4, kept=7, echo_until_s=9),
        op(ALTER, DONE, 5, 6, kept=8),
        seen("a", 7, 8, kept=7),
    ],
}
BAD = {
    "made twice": [made("a", 1, 2), made("b", 3, 4)],
    "refused for nothing": [op(CREATE, REFUSED, 1, 2)],
    "a deletion of nothing": [op(DELETE, DONE, 1, 2)],
    "deleted twice": [made("a", 1, 2), op(DELETE, DONE, 3, 4), op(DELETE, DONE, 5, 6)],
    "gone by itself": [made("a", 1, 2), op(LOOK, REFUSED, 3, 4)],
    "came back": [made("a", 1, 2), op(DELETE, DONE, 3, 4), seen("a", 5, 6)],
    "one unknown creation, two topics": [
        op(CREATE, UNKNOWN, 1),
        seen("x", 2, 3),
        op(DELETE, DONE, 4, 5),
        seen("y", 6, 7),
    ],
    "an id that comes again": [
        op(CREATE, UNKNOWN, 1),
        seen("x", 2, 3),
        op(DELETE, DONE, 4, 5),
        op(CREATE, UNKNOWN, 6),
        seen("x", 7, 8),
    ],
    "an alteration is lost": [made("a", 1, 2), op(ALTER, DONE, 3, 4, kept=7), seen("a", 5, 6)],
    "an old alteration after too long": [
        made("a", 1, 2),
        op(ALTER, DONE, 3, 4, kept=7, echo_until_s=9),
        op(ALTER, DONE, 10, 11, kept=8),
        seen("a", 12, 13, kept=7),
    ],
    "ensured and refused, though it suits": [made("a", 1, 2), op(ENSURE, REFUSED, 3, 4)],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_what_can_have_been_is_found(history: Sequence[Operation]) -> None:
    """In whatever order its operations are given."""
    assert find_order(history).possible
    assert find_order(history[::-1]).possible
    assert some_order(history)


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_what_cannot_have_been_is_not(history: Sequence[Operation]) -> None:
    """And it says where no order goes on."""
    found = find_order(history)
    assert (False, True) == (found.possible, found.decided)
    assert found.stuck
    assert not some_order(history)


def test_it_gives_up() -> None:
    """Undecided is no verdict."""
    found = find_order(BAD["made twice"], steps_max=1)
    assert (True, False) == (found.possible, found.decided)


def some_order(operations: Sequence[Operation]) -> bool:
    """Whether there is one: every order, every subset of what is unknown, every id for whoever was told none."""
    ids = sorted({operation.id for operation in operations if operation.id})
    echoes = [operation for operation in operations if operation.echo_until_s]

    been: set[tuple[object, ...]] = set()

    def goes_on(left: tuple[Operation, ...], there: Topic | None, used: frozenset[str], now_s: float) -> bool:
        if all(operation.result is UNKNOWN for operation in left):
            return True
        if (left, there, used, now_s) in been:
            return False
        been.add((left, there, used, now_s))
        latest_s = min(operation.ended_s for operation in left)
        ways = [(one, left[:place] + left[place + 1 :]) for place, one in enumerate(left)]
        ways += [
            (op(echo.verb, UNKNOWN, echo.invoked_s, kept=echo.kept), left)
            for echo in echoes
            if now_s <= echo.echo_until_s
        ]
        return any(
            goes_on(rest, after, used | ({after[0]} if after else set()), max(now_s, operation.invoked_s))
            for operation, rest in ways
            if operation.invoked_s <= latest_s
            for after in outcomes(operation, there, ids, used)
        )

    return goes_on(tuple(operations), None, frozenset(), 0.0)


def outcomes(operation: Operation, there: Topic | None, ids: Sequence[str], used: frozenset[str]) -> list[Topic | None]:
    """What may be there when it has taken effect now, if it can. Ids are chosen when a topic is made."""
    verb, kept = operation.verb, operation.kept
    fitting = there is not None and kept in {None, there[2]}
    if operation.result is REFUSED:
        fits = {CREATE: there is not None, ENSURE: there is not None and not fitting}.get(verb, there is None)
        return [there] if fits else []
    told = operation.result is DONE
    if verb in {CREATE, ENSURE}:
        if there is None:
            names = [operation.id] if told else [*ids, f"nobody's {len(used)}"]
            return [(name, 1, kept) for name in names if name not in used]
        return [there] if told and verb is ENSURE and fitting and there[0] == operation.id else []
    if there is None:
        return []
    if verb is LOOK:
        return [there] if (there[0], there[2]) == (operation.id, kept) else []
    return [(there[0], 1, kept)] if verb is ALTER else [None]


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """A few operations of any kind that overlap; ids are few, so that they clash."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        verb, result = draw(st.sampled_from(Verb)), draw(st.sampled_from((DONE, DONE, REFUSED, UNKNOWN)))
        begin = draw(st.integers(0, 12))
        end = NEVER_S if result is UNKNOWN else begin + draw(st.integers(0, 6))
        told = result is DONE and verb in {CREATE, ENSURE, LOOK}
        id_ = draw(st.sampled_from("ab")) if told else ""
        kept = draw(st.sampled_from((None, 1))) if verb is not DELETE else None
        echoes = verb in {ENSURE, ALTER} and draw(st.booleans())
        until_s = (NEVER_S if result is UNKNOWN else end + draw(st.integers(0, 4))) if echoes else 0.0
        found.append(op(verb, result, begin, end, id_=id_, kept=kept, echo_until_s=until_s))
    return found


@settings(max_examples=200, deadline=None)
@given(histories())
def test_it_agrees_with_trying_everything(history: list[Operation]) -> None:
    """On any history that is small enough."""
    found = find_order(history)
    assert found.decided
    assert some_order(history) == found.possible
