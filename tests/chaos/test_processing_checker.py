"""The checker of apps catches each anomaly in a hand-written bad history, and passes good ones."""

import json
from typing import Any

import pytest

from chaos.checkers.processing import check_processing
from chaos.history import History, Kind

WINDOW_S = 5
AMOUNTS = [("a", "x", "g", 3), ("b", "y", "g", 4), ("c", "x", "g", 5), ("d", "x", "h", 6)]
"""Id, key, group, amount; one a second, `x` in partition 0, `y` in 1."""
Records = list[dict[str, Any]]


def running(*results: tuple[str, str, int, int]) -> Records:
    """Id, key, count, total."""
    return [{"id": one, "key": key, "count": count, "total": total} for one, key, count, total in results]


def good() -> dict[str, Records]:
    """What the app makes of the amounts."""
    return {
        "counts": running(("a", "x", 1, 3), ("b", "y", 1, 4), ("c", "x", 2, 8), ("d", "x", 3, 14)),
        "groups": running(("b", "g", 1, 4), ("a", "g", 2, 7), ("c", "g", 3, 12), ("d", "h", 1, 6)),
        "windows": [
            {"key": "x", "start_s": 0, "ids": ["a", "c"], "total": 8},
            {"key": "y", "start_s": 0, "ids": ["b"], "total": 4},
        ],
        "late": [{"id": "d", "key": "x", "group": "h", "amount": 6}],
    }


def place_of(key: str) -> int:
    """Of an input."""
    return int(key == "y")


def history(outputs: dict[str, Records], *, unsure: tuple[str, ...] = (), missing: tuple[str, ...] = ()) -> History:
    """The amounts are sent, `unsure` without an answer, `missing` never to arrive; then all is read."""
    found = History()
    ends: dict[int, list[Any]] = {0: [], 1: []}
    times: dict[int, list[int]] = {0: [], 1: []}
    for second, (name, key, group, amount) in enumerate(AMOUNTS):
        text = json.dumps({"id": name, "key": key, "group": group, "amount": amount})
        number = found.invoke("p", "send", second, partition=place_of(key), key=key, value=text)
        records = ends[place_of(key)]
        kind = Kind.INFO if name in {*unsure, *missing} else Kind.OK
        found.end(number, "p", kind, "send", second + 0.5, **({"offset": len(records)} if kind is Kind.OK else {}))
        if name not in missing:
            records.append([len(records), key, text])
            times[place_of(key)].append(second * 10**9)
    for partition, records in ends.items():
        number = found.invoke("final", "read", 20, partition=partition, start=0)
        told = {"partition": partition, "records": records, "times_ns": times[partition], "first": 0}
        found.end(number, "final", Kind.OK, "read", 21, **told)
    for topic, values in outputs.items():
        records = [[offset, None, json.dumps(value)] for offset, value in enumerate(values)]
        number = found.invoke("final", "output", 22, topic=topic, partition=0)
        found.end(number, "final", Kind.OK, "output", 23, topic=topic, partition=0, records=records)
    return found


def names(found: History) -> set[str]:
    """Of what is found."""
    return {anomaly.name for anomaly in check_processing(found.events, window_s=WINDOW_S)}


def test_a_good_history_passes() -> None:
    """What came late was put aside; what nobody knows of is there, and is counted."""
    assert set() == names(history(good()))
    assert set() == names(history(good(), unsure=("b", "d")))


def test_what_was_never_sent_need_not_be_counted() -> None:
    """Its outcome is unknown, and it is not in the topic."""
    outputs = good()
    outputs["counts"].pop()
    outputs["groups"].pop()
    outputs["late"].clear()
    assert set() == names(history(outputs, missing=("d",)))
    assert {"phantom event"} == names(history(good(), missing=("d",)))


@pytest.mark.parametrize("topic", ["counts", "groups"])
def test_a_lost_event_is_caught(topic: str) -> None:
    """Also if it was never acknowledged: it is in the topic."""
    outputs = good()
    outputs[topic].pop()
    assert {"lost event"} == names(history(outputs))
    assert {"lost event"} == names(history(outputs, unsure=("d",)))


@pytest.mark.parametrize("topic", ["counts", "groups"])
def test_an_event_that_was_counted_twice_is_caught(topic: str) -> None:
    """Its result was shipped again, or it was counted again."""
    outputs = good()
    outputs[topic].append(outputs[topic][-1])
    assert {"counted twice", "wrong count", "wrong total"} == names(history(outputs))
    outputs = good()
    outputs["counts"] += running(("d", "x", 4, 20))
    assert {"counted twice"} == names(history(outputs))


def test_a_gap_in_the_counts_is_caught() -> None:
    """State from a commit whose output is not there."""
    outputs = good()
    outputs["counts"][-1]["count"] = 4
    assert {"wrong count"} == names(history(outputs))


def test_results_out_of_order_are_caught() -> None:
    """In their topic, and against the input's order."""
    outputs = good()
    outputs["counts"][2:] = outputs["counts"][:1:-1]
    assert {"out of order", "wrong total"} == names(history(outputs))
    outputs = good()
    outputs["counts"] = running(("a", "x", 1, 3), ("b", "y", 1, 4), ("d", "x", 2, 9), ("c", "x", 3, 14))
    assert {"out of order"} == names(history(outputs))
    outputs = good()
    outputs["groups"] = running(("c", "g", 1, 5), ("b", "g", 2, 9), ("a", "g", 3, 12), ("d", "h", 1, 6))
    assert {"out of order"} == names(history(outputs))


def test_a_wrong_total_is_caught() -> None:
    """Of a key, and of a window."""
    for topic in ("counts", "windows"):
        outputs = good()
        outputs[topic][-1]["total"] += 1
        assert {"wrong total"} == names(history(outputs))


def test_a_result_for_another_key_is_caught() -> None:
    """As if state or records had been mixed up."""
    outputs = good()
    outputs["counts"][-1] |= {"key": "z", "count": 1, "total": 6}
    assert {"wrong key"} == names(history(outputs))


def test_a_lost_window_is_caught() -> None:
    """A whole one, and a part."""
    outputs = good()
    outputs["windows"].pop()
    assert {"window lost"} == names(history(outputs))
    outputs = good()
    outputs["late"].clear()
    assert {"window lost"} == names(history(outputs))


def test_windows_that_count_twice_are_caught() -> None:
    """A window that closes again; an event in a window and late."""
    outputs = good()
    outputs["windows"].append(outputs["windows"][-1])
    assert {"window closed twice", "window counted twice"} == names(history(outputs))
    outputs = good()
    outputs["late"].append({"id": "b", "key": "y", "group": "g", "amount": 4})
    assert {"window counted twice", "not late"} == names(history(outputs))


def test_an_event_in_another_window_is_caught() -> None:
    """By its time, or its key."""
    for change in ({"start_s": 5}, {"key": "z"}):
        outputs = good()
        outputs["windows"][-1] |= change
        assert {"wrong window"} == names(history(outputs))


def test_results_of_a_key_in_two_partitions_are_caught() -> None:
    """Who reads them would have no order."""
    found = history(good())
    number = found.invoke("final", "output", 30, topic="counts", partition=1)
    records = [[0, None, json.dumps({"id": "d", "key": "x", "count": 4, "total": 20})]]
    found.end(number, "final", Kind.OK, "output", 31, topic="counts", partition=1, records=records)
    assert {"key in two partitions", "counted twice"} == names(found)


def test_the_input_is_a_log() -> None:
    """An acknowledged amount that is not in the topic is lost, whatever the app says."""
    found = history(good())
    text = json.dumps({"id": "e", "key": "x", "group": "g", "amount": 1})
    number = found.invoke("p", "send", 5, partition=0, key="x", value=text)
    found.end(number, "p", Kind.OK, "send", 6, offset=3)
    assert {"unseen"} == names(found)


def at_once(*seconds: float, pause_s: float = 0.0, late: str = "c", unsure: bool = False) -> set[str]:
    """Inputs of one key with these event times, one each tenth of a second, the last after a pause; one is late."""
    found, records, times = History(), [], []
    for place, second in enumerate(seconds):
        one = {"id": "abcd"[place], "key": "x", "group": "g", "amount": 1}
        text, at_s = json.dumps(one), place / 10 + (pause_s if place == len(seconds) - 1 else 0.0)
        number = found.invoke("p", "send", at_s, partition=0, key="x", value=text)
        if not unsure:
            found.end(number, "p", Kind.OK, "send", at_s + 0.2, offset=place)
        records.append([place, "x", text])
        times.append(int(second * 10**9))
    number = found.invoke("final", "read", 20, partition=0, start=0)
    found.end(number, "final", Kind.OK, "read", 21, partition=0, records=records, times_ns=times, first=0)
    put_aside = [json.loads(text) for _, _, text in records if json.loads(text)["id"] == late]
    for topic, values in {"late": put_aside}.items():
        shipped = [[offset, None, json.dumps(value)] for offset, value in enumerate(values)]
        number = found.invoke("final", "output", 22, topic=topic, partition=0)
        found.end(number, "final", Kind.OK, "output", 23, topic=topic, partition=0, records=shipped)
    return names(found) - {"lost event", "window lost"}  # no other output is there


def test_what_is_put_aside_was_late() -> None:
    """An earlier one was of its window's end, or beyond it; or there may have been a pause somewhere before it."""
    assert {"not late"} == at_once(1.0, 2.0, 3.0)
    assert {"not late"} == at_once(1.0, 4.999, 3.0)
    assert set() == at_once(1.0, 5.0, 3.0)
    assert {"not late"} == at_once(6.0, 9.0, 5.0)
    assert set() == at_once(1.0, 2.0, 3.0, pause_s=2.0)
    assert set() == at_once(1.0, 2.0, 3.0, unsure=True)
    assert {"not late"} == at_once(1.0, 2.0, 3.0, late="a")
    assert {"not late"} == at_once(1.0, 2.0, 3.0, late="b", pause_s=2.0)
