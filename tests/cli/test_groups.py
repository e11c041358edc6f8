"""Groups on the command line: consuming as a member, and looking after groups; as text and as JSON."""

import json

import pytest

from tests.cli.conftest import Riverrun
from tests.cli.test_commands import ok, refused

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]
ALL = ["--from", "earliest", "--until", "latest", "--format", "raw"]


def filled(riverrun: Riverrun, topic: str, *, partitions: int = 3, records: int = 30) -> set[str]:
    """A topic with the records 0, 1, …, by key."""
    ok(riverrun("topic", "create", topic, "--partitions", str(partitions)))
    lines = [f"{number}" for number in range(records)]
    ok(riverrun("produce", topic, "--key-separator", ":", stdin="".join(f"{line}:{line}\n" for line in lines)))
    return set(lines)


def test_a_group_goes_on_where_it_was(riverrun: Riverrun):
    """Each record once, however often it is called; another group has positions of its own."""
    lines = filled(riverrun, "once")
    consume = ["consume", "once", "--group", "once-g", *ALL]
    first = ok(riverrun(*consume, "--max", "7")).splitlines()
    assert 7 == len(first)
    rest = ok(riverrun(*consume)).splitlines()
    assert len(lines) - 7 == len(rest)
    assert lines == {*first, *rest}
    assert "" == ok(riverrun(*consume))
    ok(riverrun("produce", "once", stdin="new\n"))
    assert "new\n" == ok(riverrun(*consume))
    assert lines | {"new"} == set(ok(riverrun("consume", "once", "--group", "other", *ALL)).splitlines())
    assert "" == ok(riverrun("consume", "once", "--group", "late", "--until", "latest"))
    ok(riverrun("produce", "once", stdin="newer\n"))
    assert "newer\n" == ok(riverrun("consume", "once", "--group", "late", "--until", "latest"))


def test_a_group_from_its_making_to_its_end(riverrun: Riverrun):
    """List, describe, reset, delete; with lag in records and in seconds."""
    filled(riverrun, "life", partitions=2)
    ok(riverrun("consume", "life", "--group", "life-g", *ALL))
    ok(riverrun("produce", "life", stdin="a\nb\nc\n"))
    assert "life-g" in ok(riverrun("group", "list"))
    assert "life-g" in {group["group"] for group in json.loads(ok(riverrun("group", "list", "--json")))}
    group = json.loads(ok(riverrun("group", "describe", "life-g", "--json")))
    assert ("life-g", [], 3, 0) == (
        group["group"],
        group["members"],
        group["lag_records"],
        group["partitions_of_unknown_lag"],
    )
    assert [("life", 0), ("life", 1)] == [(part["topic"], part["partition"]) for part in group["partitions"]]
    assert 0 < group["lag_ms"] == max(part["lag_ms"] for part in group["partitions"]) < 60_000
    positions = {part["partition"]: part["position"] for part in group["partitions"]}
    said = ok(riverrun("group", "describe", "life-g"))
    assert "group life-g   0 members" in said
    assert "LAG SECONDS" in said
    assert "lag: 3 records in 2 partitions, the oldest " in said

    reset = ["group", "reset", "life-g", "--topic", "life"]
    table = ok(riverrun(*reset, "--to", "0", "--partition", "1"))
    assert "new positions in 1 partition of life" in table
    assert ["1", str(positions[1]), "0"] == table.splitlines()[-2].split()[:3], table
    assert positions[1] + 3 == json.loads(ok(riverrun("group", "describe", "life-g", "--json")))["lag_records"]
    now = json.loads(ok(riverrun(*reset, "--to", "latest", "--json")))
    assert {0: positions[0], 1: 0} == {part["partition"]: part["was"] for part in now}
    assert [0, 0] == [part["lag_records"] for part in now]
    assert "" == ok(riverrun("consume", "life", "--group", "life-g", *ALL))
    ok(riverrun(*reset, "--to", "2001-01-01"))
    assert 33 == len(ok(riverrun("consume", "life", "--group", "life-g", *ALL)).splitlines())

    assert "nothing was done" in refused(riverrun("group", "delete", "life-g", stdin="n\n"))
    assert "deleted group life-g\n" == ok(riverrun("group", "delete", "life-g", "--yes"))
    assert "no group 'life-g'" in refused(riverrun("group", "describe", "life-g"))
    assert "no group 'life-g'" in refused(riverrun("group", "delete", "life-g", "--yes"))
    assert "no group 'life-g'" in refused(riverrun(*reset, "--to", "latest"))


def test_what_makes_no_sense_with_a_group_is_said_in_a_sentence(riverrun: Riverrun):
    """Before anybody is asked; or as the cluster says it."""
    consume = ["consume", "absent", "--group", "g"]
    assert "shares out the partitions" in refused(riverrun(*consume, "--partition", "1"), code=2)
    for until in ("earliest", "17", "2026-01-31"):
        assert "can only be latest" in refused(riverrun(*consume, "--until", until), code=2)
    assert "absent" in refused(riverrun(*consume))
    assert "absent" in refused(riverrun(*consume, "--until", "latest"))
    ok(riverrun("topic", "create", "sense"))
    assert "is no group name" in refused(riverrun("consume", "sense", "--group", "a b"))
    assert "yesterday" in refused(riverrun("group", "reset", "g", "--topic", "sense", "--to", "yesterday"), code=2)
    refused(riverrun("group", "reset", "g", "--topic", "sense"), code=2)
    refused(riverrun("group", "describe"), code=2)
