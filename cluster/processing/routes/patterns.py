r"""Regular expressions that cannot run away: matched in one pass over the text, whatever the pattern is. Pure.

A pattern becomes a nondeterministic automaton, and that, as texts are met, a deterministic one (Thompson 1968; Cox,
"Regular Expression Matching Can Be Simple And Fast"): a look into a dictionary for each character, never a step back.
What that cannot do is refused: back references, looking around, \b, groups that are named or captured for use.

>>> Pattern("^[A-Z]{2}-[0-9]+$").found_in("EU-17"), Pattern("a|b").found_in("xyz")
(True, False)
"""

import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

PATTERN_MAX = 500
"""Characters of a pattern."""
STATES_MAX = 500
"""Of the automaton, after {m,n} has been written out."""
BUILT_MAX = 10 * STATES_MAX
"""Steps of writing it out; what is repeated may be nothing."""
TEXT_MAX = 1 << 20
"""Characters of a text that is looked through."""
STEPS_KEPT_MAX = 20_000
"""Steps of the deterministic automaton that are remembered; then it begins anew."""
_GROUPS_DEEP_MAX = 40
_REPEAT = re.compile(r"\{(\d{1,4})(?:(,)(\d{1,4})?)?\}")
_REFUSED = {
    "(?=": "looking ahead",
    "(?!": "looking ahead",
    "(?<": "looking behind, or a named group,",
    "(?P": "a named group",
    "(?(": "a condition",
    "(?>": "an atomic group",
}


class PatternError(ValueError):
    """The pattern cannot be used; says what and at which character."""


class _Node(NamedTuple):
    kind: str
    """char, cat, alt, repeat, begin, end"""
    parts: tuple["_Node", ...] = ()
    test: Callable[[str], Any] | None = None
    least: int = 0
    most: int | None = 0


class _Parser:
    """By descent: alternatives of sequences of repeated atoms."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > PATTERN_MAX:
            raise PatternError(f"the pattern has {len(pattern)} characters, and may have {PATTERN_MAX}")
        self.text, self.at, self.flags = pattern, 0, re.RegexFlag(0)
        if pattern.startswith("(?i)"):
            self.at, self.flags = 4, re.IGNORECASE

    def parsed(self) -> _Node:
        node = self._alternatives(0)
        if self.at < len(self.text):
            raise self._wrong("there is a ) without its (")
        return node

    def _wrong(self, why: str) -> PatternError:
        return PatternError(f"{why} (character {self.at + 1} of the pattern)")

    def _alternatives(self, deep: int) -> _Node:
        if deep > _GROUPS_DEEP_MAX:
            raise self._wrong("its groups are too deep")
        found = [self._sequence(deep)]
        while self.text.startswith("|", self.at):
            self.at += 1
            found.append(self._sequence(deep))
        return found[0] if len(found) == 1 else _Node("alt", tuple(found))

    def _sequence(self, deep: int) -> _Node:
        found = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            found.append(self._repeated(self._atom(deep)))
        return _Node("cat", tuple(found))

    def _repeated(self, atom: _Node) -> _Node:
        rest = self.text[self.at : self.at + 1]
        written = _REPEAT.match(self.text, self.at)
        if rest and rest in "*+?":
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[rest]
            self.at += 1
        elif written:
            least = int(written[1])
            most = least if not written[2] else None if written[3] is None else int(written[3])
            if most is not None and most < least:
                raise self._wrong(f"{written[0]} is from more to less")
            self.at = written.end()
        else:
            return atom
        if self.text.startswith("?", self.at):
            self.at += 1  # whether it takes much or little makes no difference to whether there is a match
        if self.at < len(self.text) and (self.text[self.at] in "*+?" or _REPEAT.match(self.text, self.at)):
            raise self._wrong("what is repeated is repeated again: put it into ( )")
        return _Node("repeat", (atom,), least=least, most=most)

    def _atom(self, deep: int) -> _Node:
        char = self.text[self.at]
        if char == "(":
            return self._group(deep)
        if char in "^$":
            self.at += 1
            return _Node("begin" if char == "^" else "end")
        if char in "*+?":
            raise self._wrong(f"there is nothing that {char} could repeat")
        if char == "[":
            return self._tested(self._class_end())
        if char == "\\":
            follows = self.text[self.at + 1 : self.at + 2]
            if follows.isdigit() or follows in {"b", "B", "A", "Z", "k"}:
                raise self._wrong(f"\\{follows} is not to be had here")
            return self._tested(self.at + 2)
        return self._tested(self.at + 1)

    def _group(self, deep: int) -> _Node:
        for prefix, what in _REFUSED.items():
            if self.text.startswith(prefix, self.at):
                raise self._wrong(f"{what} is not to be had here")
        if self.text.startswith("(?", self.at) and not self.text.startswith("(?:", self.at):
            raise self._wrong("flags can only be (?i), at the beginning")
        self.at += 3 if self.text.startswith("(?:", self.at) else 1
        node = self._alternatives(deep + 1)
        if not self.text.startswith(")", self.at):
            raise self._wrong("a ( has no )")
        self.at += 1
        return node

    def _class_end(self) -> int:
        at = self.at + 1
        at += self.text.startswith("^", at)
        at += self.text.startswith("]", at)
        while at < len(self.text) and self.text[at] != "]":
            at += 2 if self.text[at] == "\\" else 1
        if at >= len(self.text):
            raise self._wrong("a [ has no ]")
        return at + 1

    def _tested(self, end: int) -> _Node:
        """One character, as the standard library knows it: of one character nothing can run away."""
        written = self.text[self.at : end]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                test = re.compile(written, self.flags).fullmatch
        except (re.error, Warning) as error:
            raise self._wrong(f"{written} is no character: {error}") from error
        self.at = end
        return _Node("char", test=test)


class _State(NamedTuple):
    kind: str
    """char, split, begin, end, match"""
    after: tuple[int, ...] = ()
    test: Callable[[str], Any] | None = None


def _too_large() -> PatternError:
    return PatternError(f"the pattern is too large: with its repeats written out it has over {STATES_MAX} parts")


class Pattern:
    """A pattern, ready to be looked for. PatternError: it cannot be used."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._states = [_State("match")]
        self._built = 0
        start = self._build(_Parser(pattern).parsed(), 0)
        self._again = self._closed([start], begin=False, end=False)
        """Where a match may begin at any later character."""
        self._start = self._closed([start], begin=True, end=False) | self._again
        self._steps: dict[frozenset[int], dict[str, frozenset[int]]] = {}
        self._kept = 0

    def found_in(self, text: str) -> bool:
        """Whether it is somewhere in the text; ^ and $ are the text's beginning and end."""
        if not isinstance(text, str):
            raise TypeError(f"matches() takes a str, not {type(text).__name__}")
        if len(text) > TEXT_MAX:
            raise ValueError(f"matches() takes a text of at most {TEXT_MAX:,} characters")
        state, steps = self._start, self._steps
        for char in text:
            if 0 in state:
                return True
            try:
                state = steps[state][char]
            except KeyError:
                state = self._step(state, char)
        return 0 in state or 0 in self._closed(state, begin=not text, end=True)

    def _step(self, state: frozenset[int], char: str) -> frozenset[int]:
        reached = [
            self._states[number].after[0]
            for number in state
            if (test := self._states[number].test) is not None and test(char)
        ]
        found = self._closed(reached, begin=False, end=False) | self._again
        if self._kept >= STEPS_KEPT_MAX:
            self._steps.clear()
            self._kept = 0
        self._steps.setdefault(state, {})[char] = found
        self._kept += 1
        return found

    def _closed(self, numbers: Any, *, begin: bool, end: bool) -> frozenset[int]:
        """With all that is reached without a character."""
        seen: set[int] = set()
        todo = list(numbers)
        while todo:
            number = todo.pop()
            if number in seen:
                continue
            seen.add(number)
            state = self._states[number]
            if state.kind == "split" or (state.kind == "begin" and begin) or (state.kind == "end" and end):
                todo += state.after
        return frozenset(seen)

    def _add(self, state: _State) -> int:
        if len(self._states) >= STATES_MAX:
            raise _too_large()
        self._states.append(state)
        return len(self._states) - 1

    def _build(self, node: _Node, after: int) -> int:
        """The states for a node that is followed by the state `after`; where it begins."""
        self._built += 1
        if self._built > BUILT_MAX:
            raise _too_large()
        if node.kind == "char":
            return self._add(_State("char", (after,), node.test))
        if node.kind == "cat":
            for part in reversed(node.parts):
                after = self._build(part, after)
            return after
        if node.kind == "alt":
            return self._add(_State("split", tuple(self._build(part, after) for part in node.parts)))
        if node.kind != "repeat":
            return self._add(_State(node.kind, (after,)))
        (part,) = node.parts
        if node.most is None:
            loop = self._add(_State("split"))
            self._states[loop] = _State("split", (self._build(part, loop), after))
            after = loop
        else:
            end = after
            for _ in range(node.most - node.least):
                after = self._add(_State("split", (self._build(part, after), end)))
        for _ in range(node.least):
            after = self._build(part, after)
        return after
