"""Whom a client asks, and whom it forgets."""

from cluster.client.servers import Servers


def known(*given: str, named: tuple[str, ...] = ("a:1", "b:1", "c:1")) -> Servers:
    """Servers of a cluster that has named its nodes, as of its tenth decision."""
    servers = Servers(given)
    servers.name(10, named)
    return servers


def asked(servers: Servers, failing: set[str], requests: int) -> list[str]:
    """Who is asked by so many requests, one after the other, if these do not answer."""
    found = []
    for _ in range(requests):
        found.append(servers.current)
        if servers.current not in failing:
            servers.answered(servers.current)
        elif not servers.silent(servers.current):
            servers.pass_over()
    return found


def test_who_answers_is_asked_again() -> None:
    """And who does not is passed over, again and again while nobody has named any nodes."""
    servers = Servers(["a:1", "b:1", "a:1"])

    assert ["a:1", "b:1", "b:1"] == asked(servers, {"a:1"}, 3)
    assert ["b:1", "a:1", "b:1", "a:1"] == asked(servers, {"a:1", "b:1"}, 4)


def test_what_was_learned_and_is_named_no_longer_is_dropped() -> None:
    """A node was removed: nobody asks at its address again."""
    servers = known("a:1")
    servers.name(11, ["a:1", "c:1", "d:1"])

    assert ("a:1", "c:1", "d:1") == servers.all


def test_the_next_one_has_the_place_of_who_was_dropped() -> None:
    """Whichever of them it was."""
    for gone, then in (("a:1", "b:1"), ("b:1", "b:1"), ("c:1", "b:1"), ("d:1", "b:1")):
        servers = known("x:1", named=("a:1", "b:1", "c:1", "d:1"))
        assert ["x:1", "a:1", "b:1"] == asked(servers, {"x:1", "a:1"}, 3)
        servers.name(11, [other for other in ("a:1", "b:1", "c:1", "d:1") if other != gone])
        expected = "c:1" if gone == "b:1" else then
        assert expected == servers.current


def test_a_node_that_lags_unnames_nobody() -> None:
    """What it names is asked, too; it may be all that is left."""
    servers = known("a:1")
    servers.name(9, ["a:1", "z:1"])

    assert ("a:1", "b:1", "c:1", "z:1") == servers.all


def test_an_answer_without_nodes_says_nothing() -> None:
    """A node that has just been started knows of none."""
    servers = known("a:1")
    servers.name(11, [])

    assert ("a:1", "b:1", "c:1") == servers.all


def test_what_was_given_stays_while_it_answers() -> None:
    """The name of a balancer is no node's."""
    servers = known("balancer:1")

    assert ["balancer:1"] * 3 == asked(servers, set(), 3)


def test_what_was_given_and_is_not_named_is_asked_last_once_it_has_failed() -> None:
    """In no round before all others have failed, then once in each."""
    servers = known("balancer:1")
    away = {"balancer:1"}
    assert ["balancer:1", "a:1"] == asked(servers, away, 2)
    assert ["a:1", "b:1", "c:1", "balancer:1", "a:1", "b:1", "c:1", "balancer:1"] == asked(
        servers, {"a:1", "b:1", "c:1", *away}, 8
    )
    assert ["a:1", "b:1", "b:1"] == asked(servers, {"a:1", *away}, 3)
    assert ("a:1", "b:1", "c:1", "balancer:1") == servers.all


def test_what_failed_before_anybody_named_nodes_is_asked_last_as_well() -> None:
    """A client that was opened with a dead address and a living one."""
    servers = Servers(["old:1", "a:1"])
    asked(servers, {"old:1"}, 2)
    servers.name(1, ["a:1", "b:1"])

    assert ("a:1", "b:1", "old:1") == servers.all
    assert not servers.all_but({"a:1", "b:1"})


def test_who_rests_and_answers_again_is_asked_as_before() -> None:
    """All others have failed: the balancer was right."""
    servers = known("balancer:1")
    asked(servers, {"balancer:1"}, 2)
    found = asked(servers, {"a:1", "b:1", "c:1"}, 5)

    assert ["a:1", "b:1", "c:1", "balancer:1", "balancer:1"] == found


def test_a_hint_of_what_was_dropped_is_dropped_again_when_it_fails() -> None:
    """It came from a node that lags."""
    servers = known("a:1")
    servers.learn(["old:1"])
    servers.pass_over()
    found = asked(servers, {"b:1", "c:1", "old:1"}, 4)

    assert ["b:1", "c:1", "old:1", "a:1"] == found
    assert ("a:1", "b:1", "c:1") == servers.all


def test_those_that_rest_do_not_keep_the_others_from_being_asked() -> None:
    """All had been started again once, and the given ones were gone: these were asked in turns, and nobody else."""
    servers = known("x:1", "y:1")
    assert ["x:1", "y:1", "a:1"] == asked(servers, {"x:1", "y:1"}, 3)
    assert ["a:1", "b:1", "c:1"] == asked(servers, {"a:1", "b:1", "c:1"}, 3)

    assert "a:1" in asked(servers, {"x:1", "y:1"}, 4)
