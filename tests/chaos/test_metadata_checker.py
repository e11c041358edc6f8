"""The checker of topics catches each anomaly in a hand-written bad history, and passes good ones."""

from typing import Any

from chaos.checkers.metadata import FINAL, check_metadata
from chaos.history import History, Kind

A, B = "aa" * 16, "bb" * 16


class Told(History):
    """Operations in one line each, of topic `t` where no other is said; they take 0.5 s."""

    def do(self, name: str, at_s: float, kind: Kind = Kind.OK, process: str = "c", **value: Any) -> None:
        """`said` and what is told, in one."""
        said = {key: value.pop(key) for key in list(value) if key not in {"id", "topics", "error", "told", "offset"}}
        told = {**value.pop("told", {}), **value, "topic": "t"}
        if name in {"send", "read"}:
            said["id"] = told["id"]
        number = self.invoke(process, name, at_s, **{"topic": "t", **said})
        self.end(number, process, kind, name, at_s + 0.5, **told)

    def create(self, at_s: float, kind: Kind = Kind.OK, *, if_absent: bool = False, **value: Any) -> None:
        """With one partition and no limit."""
        self.do("create", at_s, kind, partitions=1, if_absent=if_absent, retention_ms=None, **value)

    def look(self, at_s: float, id_: str, process: str = "c") -> None:
        """What the controller has."""
        if id_:
            told = {"partitions": 1, "retention_ms": None}
            self.do("alter", at_s, process=process, retention_ms=None, id=id_, told=told)
        else:
            self.do("alter", at_s, Kind.FAIL, process=process, retention_ms=None, error="UNKNOWN_TOPIC")

    def listed(self, at_s: float, id_: str, process: str = "c") -> None:
        """What a node knows."""
        self.do("list", at_s, process=process, topics={"t": id_} if id_ else {})

    def sent(self, at_s: float, id_: str, value: str, offset: int) -> None:
        """Acknowledged."""
        self.do("send", at_s, id=id_, partition=0, key=None, value=value, offset=offset)

    def got(self, at_s: float, id_: str, *values: str, process: str = "c", first: int | None = None) -> None:
        """All of it from its beginning."""
        records = [[number, None, value] for number, value in enumerate(values)]
        told = {"partition": 0, "records": records} | ({} if first is None else {"first": first})
        self.do("read", at_s, process=process, id=id_, partition=0, start=0, told=told)


def names(history: History) -> list[str]:
    """Of what is found."""
    return [anomaly.name for anomaly in check_metadata(history.events)]


def good() -> Told:
    """A topic is made, used, deleted and made again; some are told late, and one is never told."""
    history = Told()
    history.create(1, id=A)
    history.create(2, Kind.FAIL, error="TOPIC_EXISTS")
    history.create(3, Kind.FAIL, error="UNAVAILABLE")
    history.sent(4, A, "v1", 0)
    history.got(5, A, "v1")
    history.do("delete", 6)
    history.listed(7, A)
    history.do("describe", 8, id=A)
    history.create(9, Kind.INFO)
    history.look(10, B)
    history.sent(11, B, "v2", 0)
    history.do("status", 12, told={"node": 1, "version": 7})
    history.do("status", 13, told={"node": 2, "version": 6})
    history.look(20, B, process=FINAL)
    history.got(21, B, "v2", process=FINAL, first=0)
    history.listed(22, B, process=FINAL)
    return history


def test_a_good_history_passes() -> None:
    """Nodes may hear late that a topic was deleted."""
    assert [] == names(good())


def test_no_order_is_found() -> None:
    """What the controller decides has one."""
    history = Told()
    history.create(1, id=A)
    history.look(2, "")
    assert ["metadata not linearizable"] == names(history)
    assert ["metadata undecided"] == [anomaly.name for anomaly in check_metadata(history.events, steps_max=1)]


def test_a_refusal_of_what_suits_is_caught() -> None:
    """Whoever asks for a topic if it is absent gets it."""
    history = Told()
    history.create(1, id=A)
    history.create(2, Kind.FAIL, if_absent=True, error="TOPIC_EXISTS")
    assert ["metadata not linearizable"] == names(history)


def test_a_failure_that_took_effect_is_caught() -> None:
    """It said that nothing was done."""
    history = Told()
    history.create(1, Kind.FAIL, error="UNAVAILABLE")
    history.create(2, Kind.FAIL, error="TOPIC_EXISTS")
    assert ["metadata not linearizable"] == names(history)


def test_a_topic_that_came_back_is_caught() -> None:
    """After it was deleted, or after another one was made; and in what is listed at the end."""
    history = Told()
    history.create(1, id=A)
    history.do("delete", 2)
    history.look(3, A)
    assert ["topic came back"] == names(history)
    history = Told()
    history.create(1, id=A)
    history.do("delete", 2, Kind.INFO)
    history.create(3, id=B)
    history.look(4, A)
    assert ["topic came back"] == names(history)
    history = good()
    history.do("delete", 30)
    history.look(31, "", process=FINAL)
    history.listed(32, B, process=FINAL)
    assert ["topic came back"] == names(history)


def test_a_final_list_that_differs_is_caught() -> None:
    """A topic is missing, or is another one."""
    for listed, name in (("", "topic vanished"), (A, "wrong topic")):
        history = good()
        history.listed(30, listed, process=FINAL)
        assert [name] == names(history)


def test_an_id_that_is_used_twice_is_caught() -> None:
    """For two topics of a name, or of two names."""
    history = Told()
    history.create(1, id=A)
    history.do("delete", 2)
    history.create(3, id=A)
    assert "id twice" in names(history)
    history = Told()
    history.create(1, id=A)
    number = history.invoke("c", "describe", 2, topic="u")
    history.end(number, "c", Kind.OK, "describe", 3, topic="u", id=A)
    assert "id twice" in names(history)


def test_a_topic_that_nobody_made_is_caught() -> None:
    """Described, or listed, before anybody can have made it."""
    history = Told()
    history.do("describe", 1, id=A)
    assert ["phantom topic"] == names(history)
    history = Told()
    history.listed(1, A)
    history.create(2, id=A)
    assert ["phantom topic"] == names(history)


def test_inherited_records_are_caught() -> None:
    """Sent to one topic, read from the next of its name."""
    history = good()
    history.got(30, B, "v2", "v1")
    assert ["inherited records"] == names(history)


def test_inherited_offsets_are_caught() -> None:
    """A new topic begins at 0."""
    history = good()
    history.got(30, B, process=FINAL, first=1)
    assert "inherited offsets" in names(history)


def test_the_records_of_each_topic_are_a_log() -> None:
    """What was acknowledged by a topic that is there is there; of one that is gone nothing is asked."""
    history = good()
    history.sent(12, A, "v3", 1)
    history.sent(13, B, "v4", 1)
    history.got(30, B, "v2", process=FINAL, first=0)
    assert ["unseen"] == names(history)


def test_a_node_that_forgets_is_caught() -> None:
    """Its metadata only go forward."""
    history = good()
    history.do("status", 14, told={"node": 1, "version": 5})
    assert ["metadata went back"] == names(history)
