"""What a route does to a batch of decoded records, compiled: all of its expressions in one loop, or two.

The usual way is a comprehension over the batch, with everything inline. Where that fails the batch is gone through once
more, one expression after another, to find the first record that it fails for and to say why; so nothing is paid for it
before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from cluster.errors import ExpressionFailed
from cluster.processing.routes import generating, times
from cluster.processing.routes.diagnosis import described
from cluster.processing.routes.expressions import Expression
from cluster.processing.routes.generating import Generator, Tree
from cluster.processing.routes.kinds import kind_of


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Checked expressions. `map` None: the record as it is, but for `set` and `drop`.

    `key`, `time` and `destinations` (conditions, None: everything goes there) are of what was made.
    """

    where: Expression | None = None
    map: dict[str, Any] | None = None
    set: dict[str, Expression] = {}
    drop: tuple[str, ...] = ()
    key: Expression | None = None
    time: Expression | None = None
    destinations: tuple[Expression | None, ...] = (None,)
    lookups: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether what comes out can be another than what went in."""
        return bool(self.map is not None or self.set or self.drop)


class Made(NamedTuple):
    """Of one batch. `pairs`: places of records in it, and what was made of them, in order.

    `keys`, `times_ns`: for each pair; None: those of the records. `chosen`: for each destination the numbers of its
    pairs; None: all of them.
    """

    pairs: list[tuple[int, Any]]
    keys: list[bytes | None] | None
    times_ns: list[int] | None
    chosen: tuple[list[int] | None, ...]


class _Step(NamedTuple):
    """One expression, as a function."""

    run: Callable[..., Any]
    parameters: tuple[str, ...]


class Program:
    """A plan, compiled. `columns`: names of `META`: what `run` has to be given of records beside their values."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._generator = generator = Generator(plan.lookups)
        where = generator.translated(plan.where) if plan.where is not None else None
        body = generating.pairs(self._value(plan), where)
        self._key = self._second(generator, plan.key, "_key_bytes")
        self._time = self._second(generator, plan.time, "_as_ns")
        filters = [
            generating.places(generator.translated(one, after=True)) if one else None for one in plan.destinations
        ]
        parameters = generator.parameters()
        self._pairs = generator.function(body, ("records", *parameters))
        self._after = [
            generator.function(one, ("pairs", "records", *parameters)) if one is not None else None
            for one in (self._key, self._time, *filters)
        ]
        self._parameters = tuple(parameters)
        self.columns = frozenset(generator.columns)
        self._steps: dict[str, _Step] = {}

    def run(
        self,
        records: Sequence[Any],
        columns: Mapping[str, Sequence[Any]] | None = None,
        rows: Mapping[str, Sequence[Any]] | None = None,
    ) -> Made:
        """What becomes of decoded records. ExpressionFailed says at which of them it ends.

        `columns`: for each name in `self.columns` what it is for each record: key (bytes or None), timestamp (ns),
        offset, partition, topic, headers (pairs of str and bytes). `rows`: for each look-up what was found for each
        record, None for nothing.
        """
        given = self._given(columns or {}, rows or {})
        arguments = [given[name] for name in self._parameters]
        try:
            pairs = self._pairs(records, *arguments)
            key, time, *filters = [None if one is None else one(pairs, records, *arguments) for one in self._after]
        except Exception:
            self._blame(records, given)
            raise  # of no single record, such as want of memory
        return Made(pairs, key, time, tuple(filters))

    @staticmethod
    def _given(columns: Mapping[str, Sequence[Any]], rows: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        return {f"m_{name}": column for name, column in columns.items()} | {
            f"t_{name}": found for name, found in rows.items()
        }

    def _value(self, plan: Plan) -> Any:
        if plan.map is not None:
            return self._generator.dictionary(plan.map)
        if not plan.changes:
            return generating.record()
        values = [self._generator.translated(expression) for expression in plan.set.values()]
        return generating.changed(generating.record(), list(plan.set), values, plan.drop)

    @staticmethod
    def _second(generator: Generator, expression: Expression | None, reader: str) -> Any:
        if expression is None:
            return None
        return generating.column_of(generating.call(reader, generator.translated(expression, after=True)))

    def _blame(self, records: Sequence[Any], given: Mapping[str, Sequence[Any]]) -> None:
        """ExpressionFailed about the first record that fails."""
        for place in range(len(records)):
            self._one(_Careful(self, records, place, given))

    def _one(self, careful: "_Careful") -> None:
        plan, record = self.plan, careful.record
        if plan.where is not None and not careful.value("where", plan.where):
            return
        made = record
        if plan.map is not None:
            made = careful.mapped("map", plan.map)
        elif plan.changes:
            if not isinstance(record, dict):
                how = "set" if plan.set else "drop"
                raise ExpressionFailed(
                    f"{how}: the record is {kind_of(record)}, and has no fields", place=careful.place
                )
            changes = {name: careful.value(f"set.{name}", expression) for name, expression in plan.set.items()}
            made = {name: value for name, value in record.items() if name not in plan.drop} | changes
        for label, expression in self._afterwards():
            careful.value(label, expression, made, after=True)

    def _afterwards(self) -> Iterator[tuple[str, Expression]]:
        plan = self.plan
        if plan.key is not None:
            yield "key", plan.key
        if plan.time is not None:
            yield "time", plan.time
        for number, condition in enumerate(plan.destinations):
            if condition is not None:
                yield f"to[{number}].where" if len(plan.destinations) > 1 else "to.where", condition

    def step(self, label: str, expression: Expression, *, after: bool) -> _Step:
        """One expression as a function of its own; kept by its label, if it has one."""
        step = self._steps.get(label)
        if step is None:
            generator = Generator(self.plan.lookups)
            run = generator.alone(expression, after=after)
            step = _Step(run, tuple(generator.parameters()))
            if label:
                self._steps[label] = step
        return step


class _Careful:
    """One record, one expression after another."""

    def __init__(
        self, program: Program, records: Sequence[Any], place: int, given: Mapping[str, Sequence[Any]]
    ) -> None:
        self.record, self.place = records[place], place
        self._program, self._records, self._given = program, records, given

    def value(self, label: str, expression: Expression, made: Any = None, *, after: bool = False) -> Any:
        """What it comes to; ExpressionFailed, in words. `made`, `after`: it is of what was made."""
        record = made if after else self.record

        def evaluated(one: Expression, label: str = "") -> Any:
            step = self._program.step(label, one, after=after)
            return step.run(record, self.place, self._records, *(self._given[name] for name in step.parameters))

        try:
            found = evaluated(expression, label)
            if label in _READERS:
                _READERS[label](found)
        except Exception as error:
            why = described(expression, error, evaluated)
            raise ExpressionFailed(f"{label}: {why}", place=self.place, field=label) from error
        return found

    def mapped(self, label: str, tree: Tree) -> dict[str, Any]:
        """All of a `map`."""
        return {
            name: self.mapped(f"{label}.{name}", value)
            if isinstance(value, Mapping)
            else self.value(f"{label}.{name}", value)
            for name, value in tree.items()
        }


_READERS: dict[str, Callable[[Any], Any]] = {"key": generating.key_bytes, "time": times.as_ns}
"""What becomes of a value, and may fail as well."""
