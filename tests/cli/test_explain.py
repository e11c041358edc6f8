"""`riverrun explain`: what is no name is refused before anybody is asked, and what was found is printed to be read."""

import pytest
from click.testing import CliRunner

from cluster.cli.explain import WIDTH, command, lines_of
from cluster.client.explaining import ExplanationView, FindingView, Severity
from cluster.types import NodeId


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["partition", "orders"], "is not TOPIC/PARTITION, such as orders/0"),
        (["partition", "orders/x"], "is not TOPIC/PARTITION"),
        (["partition", "orders/1@7"], "is not TOPIC/PARTITION"),
        (["task", "retail/totals"], "is not APP/STAGE/TASK"),
        (["task", "retail/totals@x/0"], "is not APP/STAGE/TASK"),
        (["node", "0"], "not in the range"),
        (["node", "two"], "not a valid integer"),
    ],
)
def test_what_is_no_name_is_refused(arguments: list[str], word: str) -> None:
    """With what it looks like; the exit code is that of a wrong command line."""
    result = CliRunner().invoke(command, arguments)

    assert (2, True) == (result.exit_code, word in result.output), result.output


def test_what_is_wrong_comes_first_and_fits_the_screen() -> None:
    """Code, why, what comes of it, what to do; then how it is now. Nothing is cut off."""
    why = "the disk of node 2 is slow: " + "a write with its sync took 900 ms usually " * 4
    finding = FindingView(
        code="SLOW_DISK",
        severity=Severity.WARNING,
        about="node 2",
        cause=why,
        consequence="receipts wait",
        advice="`iostat -x 1`",
        numbers={"usual_write_ms": 900.0},
        nodes=(NodeId(2),),
    )
    found = ExplanationView(
        subject="partition orders/0",
        healthy=False,
        summary="partition orders/0: 1 thing is wrong",
        findings=(finding,),
        state=("leader: node 1", "replica on node 2: follows"),
        looks=(),
        answered_by=NodeId(1),
    )
    lines = lines_of(found)

    assert ["partition orders/0: 1 thing is wrong", "", "WARNING  SLOW_DISK  (node 2)"] == lines[:3]
    assert ["  so:   receipts wait", "  do:   `iostat -x 1`", "", "now:"] == lines[-6:-2]
    assert ["  leader: node 1", "  replica on node 2: follows"] == lines[-2:]
    assert why.split() == " ".join(lines[3:-6]).replace("why:", "").split()
    assert max(map(len, lines)) <= WIDTH
    assert ("SLOW_DISK",) == found.codes
