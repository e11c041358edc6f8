"""Patterns mean what they mean to Python, and no text makes them slow."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.processing.routes.patterns import Pattern, PatternError

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", "^", "$", "c", r"\.", "é"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{2,}", "*?", ""])
    return (
        st.lists(inner, max_size=3).map("".join)
        | st.tuples(inner, inner).map("|".join)
        | st.builds(lambda part, repeat: f"(?:{part}){repeat}", inner, repeats)
        | st.builds(lambda part: f"({part})", inner)
    )


PATTERNS = st.recursive(ATOMS, _larger, max_leaves=8)


@pytest.mark.slow
@settings(max_examples=400)
@given(PATTERNS, st.booleans(), st.text("aAbBc.1é\n", max_size=8))
def test_it_finds_what_python_finds(pattern: str, small: bool, text: str) -> None:  # noqa: FBT001
    """But that `$` is the end itself, and not a line's."""
    flagged = f"(?i){pattern}" if small else pattern
    expected = re.search(flagged.replace("$", r"\Z"), text) is not None

    assert expected == Pattern(flagged).found_in(text)


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a?){40}a{40}", r"(\w+\s?)*$x", "(.*a){10}", "a*a*a*a*a*b"])
def test_patterns_that_run_away_elsewhere_do_not(pattern: str) -> None:
    """Python's own would take years over some of these."""
    begun = time.process_time()
    Pattern(pattern).found_in("a" * 20_000)

    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(a", r"a \( has no \) \(character 3"),
        ("a)", r"there is a \) without its \( \(character 2"),
        ("[a", r"a \[ has no \]"),
        ("*a", r"there is nothing that \* could repeat \(character 1"),
        ("a**", "what is repeated is repeated again"),
        ("a{3,2}", "from more to less"),
        (r"(a)\1", r"\\1 is not to be had here"),
        (r"\bword", r"\\b is not to be had here"),
        ("(?=a)", "looking ahead"),
        ("(?<=a)", "looking behind"),
        ("(?P<x>a)", "a named group"),
        ("(?s)a", r"flags can only be \(\?i\)"),
        ("[b-a]", "is no character: bad character range"),
        ("(a{100}){100}", "the pattern is too large"),
        ("(((){9999}){9999}){9999}", "the pattern is too large"),
        ("a" * 501, "the pattern has 501 characters"),
        ("(" * 60 + ")" * 60, "its groups are too deep"),
    ],
)
def test_what_cannot_be_had_is_said(pattern: str, says: str) -> None:
    """With the character."""
    with pytest.raises(PatternError, match=says):
        Pattern(pattern)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And forgotten without harm."""
    monkeypatch.setattr("cluster.processing.routes.patterns.STEPS_KEPT_MAX", 5)
    pattern = Pattern("(a|b)*a(a|b){6}$")
    for text in ("abbaabbabab", "bbbbbbb", "abbbbbb" * 3):
        assert (re.search("(a|b)*a(a|b){6}$", text) is not None) == pattern.found_in(text)
    with pytest.raises(TypeError, match="takes a str, not int"):
        pattern.found_in(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at most 1,048,576 characters"):
        pattern.found_in("a" * 2_000_000)
