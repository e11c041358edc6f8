"""What kind of value an expression has, and whether it can have one at all: unknown fields, text plus number.

Where nothing is known of a value it fits everywhere. Of a value that may be null nothing is said: that is for the
record to show.
"""

import ast
from collections.abc import Mapping

import msgspec

from cluster.processing.routes import kinds
from cluster.processing.routes.expressions import Expression, path_of
from cluster.processing.routes.functions import FUNCTIONS, META
from cluster.processing.routes.kinds import ANY, BOOL, DURATION, FLOAT, INT, NULL, STR, Kind, joined
from cluster.processing.routes.sentences import InvalidExpression, near, refused

RESERVED = ("meta", "record")
_TIMES = frozenset({"datetime", "date"})
_FITS: dict[str, frozenset[str]] = {
    "number": kinds.NUMBERS | {"bool"},
    "int": frozenset({"int", "bool"}),
    "str": frozenset({"str"}),
    "list": frozenset({"list"}),
    "sized": frozenset({"str", "list", "dict"}),
    "time": _TIMES | kinds.NUMBERS | {"str"},
}
_SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
}  # fmt: skip


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which names there are. `record`: the kind of the record; `where`: what it is called in a sentence.

    `lookups`: names of look-ups, and the kinds of what is found. `input`: of what is made, the kind of what it was made
    of; None: there is no such name.
    """

    record: Kind = ANY
    where: str = "the record"
    lookups: Mapping[str, Kind] = {}
    input: Kind | None = None


def kind_in(expression: Expression, scope: Scope) -> Kind:
    """The kind of its value; InvalidExpression where it cannot have one."""
    return _Inference(expression.source, scope).kind(expression.tree)


def condition_in(expression: Expression, scope: Scope) -> None:
    """The same for a condition, which is to be a bool."""
    found = kind_in(expression, scope)
    if found.name not in {"bool", "any"}:
        raise refused(
            f"it is {_a(found)}, and a condition is a bool, such as total > 100", expression.source, expression.tree
        )


def _a(kind: Kind) -> str:
    word = str(kind)
    return word if word == "null" else ("an " if word[0] in "aeio" else "a ") + word


class _Inference:
    def __init__(self, source: str, scope: Scope) -> None:
        self._source, self._scope = source, scope

    def _no(self, message: str, node: ast.AST) -> InvalidExpression:
        return refused(message, self._source, node)

    def kind(self, node: ast.expr) -> Kind:
        found: Kind = getattr(self, f"_{type(node).__name__.lower()}")(node)
        return found

    def _constant(self, node: ast.Constant) -> Kind:
        return Kind(kinds.kind_of(node.value))

    def _name(self, node: ast.Name) -> Kind:
        if node.id == "record":
            return self._scope.record
        if node.id == "meta":
            raise self._no(
                f"meta is followed by what is wanted of it: {', '.join('meta.' + name for name in META)}", node
            )
        if node.id in self._scope.lookups:
            return self._scope.lookups[node.id]
        if node.id == "input" and self._scope.input is not None:
            return self._scope.input
        return self._field(self._scope.record, node.id, node, self._scope.where)

    def _field(self, kind: Kind, name: str, node: ast.AST, what: str) -> Kind:
        if kind.name == "any":
            return ANY
        if kind.name != "dict":
            raise self._no(f"{what} is {_a(kind)}, and has no field {name!r}", node)
        if kind.fields is None:
            return ANY
        if name not in kind.fields:
            raise self._no(f"{what} has no field {name!r}{self._hint(kind.fields, name, what)}", node)
        return kind.fields[name]

    def _hint(self, fields: Mapping[str, Kind], name: str, what: str) -> str:
        """What may have been meant by a field that is not there."""
        if what != self._scope.where:
            return near(name, fields, else_list="it has")
        before = self._scope.input.fields if self._scope.input is not None else None
        if name in (before or ()):
            return f"; what it is made of has: input.{name}"
        if name in FUNCTIONS:
            return f"; the function is {FUNCTIONS[name].form(name)}"
        return near(name, (*fields, *RESERVED, *self._scope.lookups), else_list="it has")

    def _attribute(self, node: ast.Attribute) -> Kind:
        if isinstance(node.value, ast.Name) and node.value.id == "meta":
            return META[node.attr]
        of = self.kind(node.value)
        what = self._scope.where if ast.unparse(node.value) == "record" else ast.unparse(node.value)
        return self._field(of, node.attr, node, what)

    def _subscript(self, node: ast.Subscript) -> Kind:
        of = self.kind(node.value)
        if isinstance(node.slice, ast.Slice):
            for part in (node.slice.lower, node.slice.upper, node.slice.step):
                if part is not None:
                    self._wants(part, self.kind(part), "int", "a place in [ ]")
            if of.name not in {"str", "list", "any"}:
                raise self._no(f"{ast.unparse(node.value)} is {_a(of)}, and has no stretches", node)
            return of
        at = self.kind(node.slice)
        if of.name == "dict":
            if at.name not in {"str", "any"}:
                raise self._no(f"the fields of {ast.unparse(node.value)} have names, not places", node)
            if isinstance(node.slice, ast.Constant):
                return self._field(of, str(node.slice.value), node, ast.unparse(node.value))
            return ANY
        if of.name in {"str", "list"}:
            self._wants(node.slice, at, "int", "a place in [ ]")
            return STR if of.name == "str" else of.item or ANY
        if of.name != "any":
            raise self._no(f"{ast.unparse(node.value)} is {_a(of)}, and has no [ ]", node)
        return ANY

    def _wants(self, node: ast.AST, kind: Kind, family: str, what: str) -> None:
        if kind.name not in {"any", *_FITS[family]}:
            raise self._no(f"{what} is {_an(family)}, not {_a(kind)}", node)

    def _binop(self, node: ast.BinOp) -> Kind:
        left, right = self.kind(node.left), self.kind(node.right)
        sign = _SIGNS[type(node.op)]
        names = {left.name, right.name}
        if names <= kinds.NUMBERS:
            return FLOAT if "float" in names or sign == "/" else INT
        timed = _timed(sign, left.name, right.name)
        if timed is not None:
            return timed
        if sign == "+" and len(names) == 1 and names <= {"str", "list"}:
            return joined([left, right])
        if "any" in names and names <= _ADDABLE[sign]:
            return ANY
        hint = ""
        if sign == "+" and "str" in names:
            other = node.right if left.name == "str" else node.left
            hint = f"; write str({ast.unparse(other)})"
        if sign == "*" and names & {"str", "list"}:
            hint = "; repeating is not allowed"
        if sign == "%" and left.name == "str":
            hint = "; write an f-string"
        raise self._no(f"{_a(left)} {sign} {_a(right)} is not possible{hint}", node)

    def _unaryop(self, node: ast.UnaryOp) -> Kind:
        of = self.kind(node.operand)
        if isinstance(node.op, ast.Not):
            return BOOL
        if of.name not in {"any", "int", "float", "duration"}:
            raise self._no(f"{'-' if isinstance(node.op, ast.USub) else '+'} before {_a(of)} is not possible", node)
        return of

    def _boolop(self, node: ast.BoolOp) -> Kind:
        return joined([self.kind(value) for value in node.values])

    def _compare(self, node: ast.Compare) -> Kind:
        left = self.kind(node.left)
        for operator, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.kind(right_node)
            self._check_pair(operator, left, right, node)
            if isinstance(operator, ast.In | ast.NotIn):
                self._check_in(left, right, right_node, node)
            left = right
        return BOOL

    def _check_pair(self, operator: ast.cmpop, left: Kind, right: Kind, node: ast.Compare) -> None:
        if isinstance(operator, ast.Is | ast.IsNot | ast.In | ast.NotIn):
            return
        equality = isinstance(operator, ast.Eq | ast.NotEq)
        families = {left.family, right.family}
        if "any" in families or (equality and "null" in families):
            return
        if len(families) > 1:
            hint = ""
            if "str" in families and "number" in families:
                hint = "; float(…) makes a number of a text, str(…) a text of a number"
            elif "str" in families and families & _TIMES:
                hint = "; write datetime(…)"
            how = "are never equal" if equality else "cannot be compared"
            raise self._no(f"{_a(left)} and {_a(right)} {how}{hint}", node)
        if not equality and families & {"dict", "null", "bool"}:
            raise self._no(f"{_a(left)} and {_a(right)} have no order", node)

    def _check_in(self, left: Kind, right: Kind, right_node: ast.expr, node: ast.Compare) -> None:
        if right.name not in {"any", "str", "list", "dict"}:
            raise self._no(f"in wants a list, a dict or a text, not {_a(right)}", right_node)
        if right.name in {"str", "dict"} and left.name not in {"any", "str"}:
            raise self._no(f"{_a(left)} is never in {_a(right)}", node)
        item = right.item or ANY
        if right.name == "list" and "any" not in {item.name, left.name} and item.family != left.family:
            raise self._no(f"{_a(left)} is never in a list of {item}", node)

    def _ifexp(self, node: ast.IfExp) -> Kind:
        self.kind(node.test)
        return joined([self.kind(node.body), self.kind(node.orelse)])

    def _joinedstr(self, node: ast.JoinedStr) -> Kind:
        for value in node.values:
            self.kind(value)
        return STR

    def _formattedvalue(self, node: ast.FormattedValue) -> Kind:
        return self.kind(node.value)

    def _list(self, node: ast.List | ast.Tuple) -> Kind:
        found = [self.kind(item) for item in node.elts]
        return Kind("list", item=joined(found)) if found else kinds.LIST

    _tuple = _list

    def _dict(self, node: ast.Dict) -> Kind:
        fields = {
            str(name.value): self.kind(value)
            for name, value in zip(node.keys, node.values, strict=True)
            if isinstance(name, ast.Constant)
        }
        return Kind("dict", fields)

    def _call(self, node: ast.Call) -> Kind:
        name = getattr(node.func, "id", "")
        function = FUNCTIONS[name]
        if name in {"get", "has"}:
            return self._path(node, name)
        given = [self.kind(argument) for argument in node.args]
        takes = [kind.removesuffix("?") for kind in function.takes if kind != "*"]
        takes += ["json"] * (len(given) - len(takes))
        for argument, kind, wanted in zip(node.args, given, takes, strict=False):
            if wanted in _FITS and kind.name != "any" and kind.name not in _FITS[wanted]:
                raise self._no(f"{name}() takes {_an(wanted)}, not {_a(kind)}", argument)
        return function.gives if isinstance(function.gives, Kind) else function.gives(given)

    def _path(self, node: ast.Call, name: str) -> Kind:
        value, path, default = path_of(node, self._source)
        kind = self._scope.record if value is None else self.kind(value)
        if value is None and path[0] in self._scope.lookups:
            raise self._no(f"{path[0]!r} is a look-up: write {name}({path[0]}, '{'.'.join(path[1:]) or '…'}')", node)
        what = self._scope.where if value is None else ast.unparse(value)
        for field in path:
            if kind.name == "null":
                break
            kind, what = self._field(kind, field, node, what), field
        if name == "has":
            return BOOL
        return joined([kind, NULL if default is None else self.kind(default)])


_ADDABLE: dict[str, frozenset[str]] = {
    "+": kinds.NUMBERS | {"any", "str", "list", "duration", *_TIMES},
    "-": kinds.NUMBERS | {"any", "duration", *_TIMES},
    "*": kinds.NUMBERS | {"any"},
    "/": kinds.NUMBERS | {"any", "duration"},
    "//": kinds.NUMBERS | {"any"},
    "%": kinds.NUMBERS | {"any"},
    "**": kinds.NUMBERS | {"any"},
}


def _timed(sign: str, left: str, right: str) -> Kind | None:
    """Of times and durations."""
    if sign in {"+", "-"} and left in _TIMES and right == "duration":
        return Kind(left)
    if sign == "+" and left == "duration" and right in _TIMES:
        return Kind(right)
    if sign == "-" and left == right and left in _TIMES:
        return DURATION
    if left == right == "duration" and sign in {"+", "-", "/"}:
        return FLOAT if sign == "/" else DURATION
    return None


def _an(family: str) -> str:
    words = {"sized": "a str, list or dict", "time": "a str in ISO 8601, a number of seconds, or a time"}
    return words.get(family) or ("an " if family[0] in "aeio" else "a ") + family
