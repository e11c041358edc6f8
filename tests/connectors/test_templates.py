"""Names made of a record: what may be written, and what a record must have."""

from typing import Any

import pytest

from cluster.connectors.templates import Template
from cluster.errors import InvalidRoute, RecordRefused


@pytest.mark.parametrize(
    ("written", "value", "key", "expected"),
    [
        ("orders", None, None, b"orders"),
        ("{key}", None, b"\xff\x00", b"\xff\x00"),
        ("price:{sku}:{size}", {"sku": "a1", "size": 42}, None, b"price:a1:42"),
        ("{after.id}", {"after": {"id": 7}}, None, b"7"),
        ("{value.key}/{key}", {"key": "inner"}, b"outer", b"inner/outer"),
        ("a{{b}}", {}, None, b"a{b}"),
        ("${SITE}/{n}", {"n": 1.5}, None, b"${SITE}/1.5"),
        ("100 $ {n}", {"n": 0}, None, b"100 $ 0"),
    ],
)
def test_a_name_is_filled_in(written: str, value: Any, key: bytes | None, expected: bytes) -> None:
    """Fields of the value, the key, and text as it is."""
    assert expected == Template(written, "key").fill(value, key)


@pytest.mark.parametrize("value", [None, {}, {"sku": None}, {"sku": ""}, {"sku": True}, {"sku": ["a"]}, "sku", 3, b"x"])
def test_a_record_without_the_field_is_refused(value: Any) -> None:
    """By its place in the batch, with the name of what it lacks."""
    with pytest.raises(RecordRefused, match="needs 'sku', which the record lacks") as refused:
        Template("price:{sku}", "key").fill(value, b"k", place=3)

    assert 3 == refused.value.place


def test_a_record_without_a_key_is_refused() -> None:
    """As one without a field."""
    with pytest.raises(RecordRefused, match="needs 'key'"):
        Template("{key}", "key").fill({"key": "of the value"}, None)


def test_forbidden_characters_are_of_fields_only() -> None:
    """What the route says is the route's doing."""
    template = Template("a/{n}", "topic")

    assert b"a/b" == template.fill({"n": "b"}, None, forbidden=b"/+")
    with pytest.raises(RecordRefused, match="must not have"):
        template.fill({"n": "b/c"}, None, forbidden=b"/+")


@pytest.mark.parametrize("written", ["{", "}", "a{b", "a}b", "{}", "{a b}", "{a.}", "{0}", "{a!r}", "{a:>9}", "{a[0]}"])
def test_what_is_no_template(written: str) -> None:
    """Nothing is formatted, called or looked up."""
    with pytest.raises(InvalidRoute):
        Template(written, "key")
