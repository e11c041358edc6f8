"""Pages of groups, and one of several nodes' pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.broker.groups import group_admin
from cluster.broker.groups.group_admin import merged, page
from cluster.wire.api import group_pb2


def groups(names: list[str]) -> list[group_pb2.Group]:
    """Of these names."""
    return [group_pb2.Group(name=name, generation=1 << 40) for name in names]


def test_a_page_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of a thousand members is large; one is told whatever its size, or nobody would get beyond it."""
    monkeypatch.setattr(group_admin, "PAGE_BYTES_MAX", 20)
    answer = page(groups(["a", "b", "c"]), 10)
    assert (["a", "b"], "b") == ([group.name for group in answer.groups], answer.next_page_token)
    monkeypatch.setattr(group_admin, "PAGE_BYTES_MAX", 1)
    answer = page(groups(["a", "b"]), 10)
    assert (["a"], "a") == ([group.name for group in answer.groups], answer.next_page_token)


names = st.sets(st.text("abc", min_size=1, max_size=3))


@given(st.lists(names, min_size=1, max_size=3), st.lists(st.integers(1, 4), min_size=3, max_size=3), st.integers(1, 5))
def test_of_several_nodes_nothing_is_left_out(nodes: list[set[str]], ends: list[int], count: int) -> None:
    """Each node's page ends where it likes: page after page everything comes once, by name."""
    everything = sorted(name for node in nodes for name in node)
    listed: list[str] = []
    token = ""
    while True:
        own = [page(groups(sorted(n for n in node if n > token)), end) for node, end in zip(nodes, ends, strict=False)]
        answer = merged(own, count)
        assert count >= len(answer.groups)
        listed += [group.name for group in answer.groups]
        token = answer.next_page_token
        if not token:
            break

    assert sorted(set(everything)) == sorted(set(listed))
    if len(everything) == len(set(everything)):
        assert everything == listed
