"""What commands say where no node is needed for it: what was meant, what was not done, what is told together."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster import cli
from cluster.cli import riverrun
from cluster.cli.local import LocalCluster
from cluster.cli.shared import new_table, print_table
from cluster.cli.status import told_together
from cluster.client.views import UnderReplicated
from cluster.errors import RefusedToStart, UnknownTopic


def test_a_command_that_is_none_is_told_what_was_meant() -> None:
    """Commands are imported when they are called, so the library that parses them knows no names to compare with."""
    wrong = CliRunner().invoke(riverrun, ["topc", "list"])

    assert 2 == wrong.exit_code
    assert "No such command 'topc'. Did you mean 'topic'?" in wrong.output
    assert "No such command 'xyzzy'.\n" in CliRunner().invoke(riverrun, ["xyzzy"]).output


def test_an_unknown_topic_comes_with_what_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the command was."""

    def fails(**options: object) -> None:
        del options
        raise UnknownTopic("there is no topic 'ordres'")

    monkeypatch.setattr(cli, "riverrun", fails)
    with pytest.raises(SystemExit):
        cli.main()
    expected = "riverrun: there is no topic 'ordres'; riverrun topic list shows those that there are\n"

    assert expected == capsys.readouterr().err


@pytest.mark.parametrize("answer", ["n\n", "", "perhaps\n"])
def test_what_was_not_confirmed_is_not_done(answer: str) -> None:
    """No, or nobody to ask: it says so, without asking a cluster anything."""
    for command in (["topic", "delete", "t"], ["topic", "trim", "t", "--partition", "0", "--before", "1"]):
        told = CliRunner().invoke(riverrun, command, input=answer)
        assert 1 == told.exit_code
        assert "nothing was done; --yes does it without asking" in told.output


def test_partitions_that_lack_the_same_are_told_together() -> None:
    """A dead node is one reason for hundreds of them."""
    dead, other = "node 3 is dead", "node 1 is dead"
    found = [UnderReplicated(topic="orders", number=n, asked=3, working=2, why=dead) for n in (0, 1, 2, 5, 7, 8)]
    found += [UnderReplicated(topic="orders", number=9, asked=3, working=1, why=f"{dead}, {other}")]
    found += [UnderReplicated(topic="prices", number=0, asked=3, working=2, why=dead)]

    assert [
        "orders, partitions 0 to 2, 5, 7, 8: 2 of 3 replicas work: node 3 is dead",
        "orders, partition 9: 1 of 3 replicas work: node 3 is dead, node 1 is dead",
        "prices, partition 0: 2 of 3 replicas work: node 3 is dead",
    ] == told_together(found)


def test_a_table_is_whole_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever looks for a word in it finds it; with a terminal, or COLUMNS, it is as wide as that."""
    table = new_table("TOPIC", "REPLICAS")
    table.add_row("a-topic-with-a-name-that-is-longer-than-a-line-of-a-terminal-" + "x" * 60, "3")
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(table)
    assert "terminal-" + "x" * 60 in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "40")
    print_table(table)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40


def test_ports_that_cannot_be_had_are_told_before_anything_starts(tmp_path: Path) -> None:
    """In use, beyond the last one: with what to do. Else a cluster that runs there would be taken for the new one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RefusedToStart, match=f"127.0.0.1:{port} is in use: if this cluster runs already, stop it"):
            LocalCluster(tmp_path / "used", nodes=1, port=port).check_ports()
    with pytest.raises(RefusedToStart, match="65635 is no port: choose another --port"):
        LocalCluster(tmp_path / "beyond", nodes=1, port=65_535).check_ports()


def test_why_a_node_ended_is_its_sentence(tmp_path: Path) -> None:
    """And not the trace before it; without one, the end of its log."""
    local = LocalCluster(tmp_path, nodes=1, port=7171)
    local.log_path(1).write_text('{"event": "a"}\n{"event": "b"}\n')
    assert '{"event": "a"}\n{"event": "b"}' == local.why_ended(1)
    with local.log_path(1).open("a") as log:
        print("riverrun: it was removed", file=log)
    assert "riverrun: it was removed" == local.why_ended(1)
