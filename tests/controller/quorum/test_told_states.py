"""What a member of the quorum tells of itself in its node's log: who leads, in which term."""

from structlog.testing import capture_logs

from tests.controller.quorum.members import Members


async def test_who_leads_and_in_which_term_is_told() -> None:
    """Each election once, by the one who won it; terms rise."""
    with capture_logs() as logs:
        members = Members()
        first = members.leader()
        members.power_loss(first)
        second = members.leader()
        members.start(first)
    elected = [(entry["node"], entry["term"]) for entry in logs if entry["event"] == "controller_elected"]
    started = [(entry["node"], entry["term"]) for entry in logs if entry["event"] == "controller_started"]

    assert [first, second] == [node for node, _ in elected]
    assert elected[0][1] < elected[1][1]
    assert [*((node, 0) for node in members.nodes), (first, elected[0][1])] == started
