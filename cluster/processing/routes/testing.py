"""The tests of a route file, run: the compiled expressions over what is given, without a cluster.

Each record is handled by itself, so that one that fails does not hide the others.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from cluster.errors import ExpressionFailed
from cluster.processing.routes.cases import plain
from cluster.processing.routes.differences import differences
from cluster.processing.routes.generating import key_text
from cluster.processing.routes.program import Program
from cluster.processing.routes.route_file import Expected, FromTopic, Given, Route, RouteFile, RouteTest
from cluster.processing.routes.times import moment


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Of one test. `faults`: lines to read, - before what was expected, + before what came, ! before a failure."""

    route: str
    test: str
    line: int | None
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all came as expected."""
        return not self.faults


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was made. `destinations`: the names of where it goes."""

    value: Any
    key: str | None
    time_ns: int
    destinations: tuple[str, ...]


def run_tests(file: RouteFile) -> list[Outcome]:
    """All of them, in their order."""
    return [
        Outcome(route=route.name, test=test.name, line=test.line, faults=tuple(faults_of(route, program, test)))
        for route in file.routes
        for program in [route.compiled()]
        for test in route.tests
    ]


def faults_of(route: Route, program: Program, test: RouteTest) -> Iterator[str]:
    """What came otherwise than the test wants it."""
    came, errors = handled(route, program, test)
    if test.expect is not None:
        yield from _compared("", test.expect, came)
    for name, wanted in test.expect_to.items():
        found = [one for one in came if name in one.destinations]
        yield from _compared(f"to {name}: " if len(route.destinations) > 1 else "", wanted, found)
    yield from _errors(test, errors)


def handled(route: Route, program: Program, test: RouteTest) -> tuple[list[Came], list[tuple[int, str]]]:
    """What the route makes of what is given, and what is said of records (from 1) that fail."""
    came: list[Came] = []
    errors: list[tuple[int, str]] = []
    topic = route.source.topic if isinstance(route.source, FromTopic) else ""
    for number, given in enumerate(test.given, 1):
        key = key_text(route.lookup_key(given.value))
        rows = {lookup.name: [test.tables.get(lookup.table, {}).get(key or "")] for lookup in route.lookups}
        try:
            made = program.run([given.value], _columns(given, topic), rows)
        except ExpressionFailed as error:
            errors.append((number, error.message))
            continue
        for at, (_, value) in enumerate(made.pairs):
            came.append(
                Came(
                    value=plain(value),
                    key=given.key if made.keys is None else key_text(made.keys[at]),
                    time_ns=given.timestamp_ns if made.times_ns is None else made.times_ns[at],
                    destinations=tuple(
                        one.name
                        for one, chosen in zip(route.destinations, made.chosen, strict=True)
                        if chosen is None or at in chosen
                    ),
                )
            )
    return came, errors


def _columns(given: Given, topic: str) -> dict[str, Sequence[Any]]:
    return {
        "key": [None if given.key is None else given.key.encode()],
        "timestamp": [given.timestamp_ns],
        "offset": [given.offset],
        "partition": [given.partition],
        "topic": [given.topic or topic],
        "headers": [[(name, value.encode()) for name, value in given.headers.items()]],
    }


def _compared(what: str, wanted: Sequence[Expected], came: Sequence[Came]) -> Iterator[str]:
    """By value; where keys or times are asked for, with those."""
    whole = [one for one in wanted if one.key is not msgspec.UNSET or one.time_ns is not msgspec.UNSET]
    if not whole:
        lines = differences([one.value for one in wanted], [one.value for one in came])
    else:
        asked = [wanted[min(place, len(wanted) - 1)] for place in range(len(came))]
        lines = differences(
            [_full(one) for one in wanted], [_as_asked(*both) for both in zip(asked, came, strict=True)]
        )
    yield from (f"{what}{line}" if not line.startswith(" ") else line for line in lines)


def _full(one: Expected) -> dict[str, Any]:
    found = {"value": one.value}
    if one.key is not msgspec.UNSET:
        found["key"] = one.key
    if isinstance(one.time_ns, int):
        found["time"] = plain(moment(one.time_ns))
    return found


def _as_asked(asked: Expected, came: Came) -> dict[str, Any]:
    found = {"value": came.value}
    if asked.key is not msgspec.UNSET:
        found["key"] = came.key
    if isinstance(asked.time_ns, int):
        found["time"] = plain(moment(came.time_ns))
    return found


def _errors(test: RouteTest, errors: Sequence[tuple[int, str]]) -> Iterator[str]:
    wanted = test.expect_errors or ()
    for place in range(max(len(wanted), len(errors))):
        number, said = errors[place] if place < len(errors) else (0, "")
        if place >= len(errors):
            yield "a record was expected to fail"
            yield f"  - {wanted[place]}"
        elif place >= len(wanted):
            yield f"given record {number} fails"
            yield from _said("!", said)
        elif wanted[place] not in said:
            yield f"given record {number} fails otherwise"
            yield f"  - {wanted[place]}"
            yield from _said("+", said)


def _said(sign: str, message: str) -> Iterator[str]:
    sentence, *picture = message.split("\n")
    yield f"  {sign} {sentence}"
    yield from picture
