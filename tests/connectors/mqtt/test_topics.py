"""Topics, filters, keys and names."""

import pytest

from cluster.connectors.mqtt.topics import check_filter, check_topic, key_level, key_of, plain_name
from cluster.errors import InvalidRoute


@pytest.mark.parametrize("written", ["a", "/", "a//b", "+", "#", "a/+/b", "a/#", "+/+/#", "$SYS/#", "Grüße/${SITE}"])
def test_filters(written: str) -> None:
    """As MQTT 5 has them, §4.7."""
    check_filter(written)


@pytest.mark.parametrize("written", ["", "a#", "a/#/b", "#/", "a+", "a/+b", "a\x00b", "x" * 65536, "$share/g/a"])
def test_what_is_no_filter(written: str) -> None:
    """One sentence with the filter in it."""
    with pytest.raises(InvalidRoute, match="filter"):
        check_filter(written)


@pytest.mark.parametrize("written", ["", "a/+", "#", "a/#", "$SYS/x", "a\x00"])
def test_what_nothing_is_published_to(written: str) -> None:
    """One sentence with the topic in it."""
    with pytest.raises(InvalidRoute, match="topic"):
        check_topic(written)


def test_keys() -> None:
    """The topic, or a level of it, or the topic where it has no such level."""
    assert 0 == key_level("topic")
    assert 2 == key_level("level:2")
    assert [b"a/b/c", b"a", b"c", b"a/b/c"] == [key_of("a/b/c", level) for level in (0, 1, 3, 4)]
    for wrong in ("", "level:0", "level:", "level:-1", "Topic", "level:100"):
        with pytest.raises(InvalidRoute, match="key is"):
            key_level(wrong)


def test_names_of_clients() -> None:
    """Plain ones stay; others become plain, and never the same."""
    assert "shop-orders_3" == plain_name("shop-orders_3")
    names = {plain_name(identity) for identity in ("shop/orders", "shop.orders", "shop orders", "x" * 100, "x" * 101)}
    assert 5 == len(names)
    assert all(set(name) < set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)
    assert max(map(len, names)) <= 49
