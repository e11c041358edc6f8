"""The command as people and scripts use it: output, exit codes, and one clear sentence when something is wrong."""

import json
import subprocess
from pathlib import Path

import pytest

from cluster.cli.config_file import read_config
from tests.cli.conftest import Riverrun

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]


def ok(done: "subprocess.CompletedProcess[str]") -> str:
    """What it said, of a command that has to succeed."""
    assert 0 == done.returncode, done.stderr
    return done.stdout


def refused(done: "subprocess.CompletedProcess[str]", code: int = 1) -> str:
    """The one sentence of a command that has to fail."""
    assert code == done.returncode, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_topic_from_its_making_to_its_end(riverrun: Riverrun):
    """Create, list, describe, delete; as text and as JSON."""
    ok(riverrun("topic", "create", "life", "--partitions", "3"))
    assert "life" in ok(riverrun("topic", "list"))
    described = json.loads(ok(riverrun("topic", "describe", "life", "--json")))
    assert [0, 1, 2] == [partition["partition"] for partition in described["partitions"]]
    assert "exists" in refused(riverrun("topic", "create", "life", "--partitions", "4"))
    ok(riverrun("topic", "create", "life", "--partitions", "3", "--if-absent"))
    ok(riverrun("topic", "delete", "life", "--yes"))
    assert "life" in refused(riverrun("topic", "describe", "life"))


def test_what_is_kept_is_said_changed_and_shown(riverrun: Riverrun):
    """In the units that people use; a description says it, and where each partition begins."""
    ok(riverrun("topic", "create", "kept", "--retention", "7d", "--retention-bytes", "1GiB"))
    assert "keeps records for 7d, up to 1GiB a partition" in ok(riverrun("topic", "describe", "kept"))
    said = ok(riverrun("topic", "alter", "kept", "--retention", "90m", "--unset", "retention_bytes"))
    assert "topic kept keeps records for 90m\n" == said
    described = json.loads(ok(riverrun("topic", "describe", "kept", "--json")))
    none = {"retention_bytes": None, "lagging_bytes_max": None, "compacted": None, "tombstone_ms": None}
    assert none | {"retention_ms": 5_400_000} == described["config"]
    assert "topic kept keeps everything\n" == ok(riverrun("topic", "alter", "kept", "--unset", "retention_ms"))
    said = ok(riverrun("topic", "alter", "kept", "--compacted"))
    assert "topic kept keeps the newest record of each key, tombstones for 1d\n" == said
    ok(riverrun("topic", "create", "latest", "--compacted", "--tombstones", "12h", "--retention", "7d"))
    described = ok(riverrun("topic", "describe", "latest"))
    assert "keeps the newest record of each key for 7d, tombstones for 12h" in described
    assert "topic kept keeps everything\n" == ok(riverrun("topic", "alter", "kept", "--unset", "compacted"))
    assert "say what to change" in refused(riverrun("topic", "alter", "kept"), code=2)
    assert "such as 36h or 7d" in refused(riverrun("topic", "alter", "kept", "--retention", "week"), code=2)
    assert "512MiB" in refused(riverrun("topic", "create", "no", "--retention-bytes", "1GB"), code=2)
    assert "no topic" in refused(riverrun("topic", "alter", "absent", "--retention", "1h"))


def test_records_are_deleted_before_an_offset(riverrun: Riverrun):
    """For good; beyond the end is refused, and again is harmless."""
    ok(riverrun("topic", "create", "cut"))
    ok(riverrun("produce", "cut", stdin="a\nb\nc\nd\n"))
    trim = ["topic", "trim", "cut", "--partition", "0", "--yes", "--before"]
    for _ in range(2):
        assert "partition 0 of cut begins at offset 2\n" == ok(riverrun(*trim, "2"))
    assert "c\nd\n" == ok(riverrun("consume", "cut", "--from", "earliest", "--until", "latest", "--format", "raw"))
    described = json.loads(ok(riverrun("topic", "describe", "cut", "--json")))
    assert [(2, 4)] == [(partition["first"], partition["end"]) for partition in described["partitions"]]
    assert "beyond the end, 4" in refused(riverrun(*trim, "5"))
    assert "offset 0" in refused(riverrun("consume", "cut", "--from", "0", "--until", "latest"))
    refused(riverrun("topic", "trim", "cut", "--partition", "0"), code=2)


def test_lines_go_in_and_come_out(riverrun: Riverrun):
    """In order, with the receipt's summary at the end; in three formats."""
    ok(riverrun("topic", "create", "lines"))
    said = ok(riverrun("produce", "lines", "--key-separator", ":", stdin="a:1\nb:2\r\na:3"))
    assert "acknowledged 3 records in 1 partition of lines" in said
    read = ["consume", "lines", "--from", "earliest", "--until", "latest"]
    assert "a\t1\nb\t2\na\t3\n" == ok(riverrun(*read))
    assert "1\n2\n3\n" == ok(riverrun(*read, "--format", "raw"))
    records = [json.loads(line) for line in ok(riverrun(*read, "--format", "json")).splitlines()]
    assert [(0, "a", "1"), (1, "b", "2"), (2, "a", "3")] == [(r["offset"], r["key"], r["value"]) for r in records]
    assert "b\t2\n" == ok(riverrun("consume", "lines", "--from", "1", "--until", "2"))
    assert "3\n" == ok(riverrun("consume", "lines", "--from", "2", "--max", "1", "--format", "raw"))
    assert "" == ok(riverrun("consume", "lines", "--from", "2099-01-01T00:00:00Z", "--until", "latest"))


def test_lines_go_into_the_partition_that_is_named(riverrun: Riverrun):
    """Whatever their keys; one that the topic does not have is refused, with those that it has."""
    ok(riverrun("topic", "create", "placed", "--partitions", "3"))
    put = ["produce", "placed", "--key-separator", ":", "--partition"]
    lines = "".join(f"{key}:1\n" for key in range(20))
    assert "acknowledged 20 records in 1 partition of placed" in ok(riverrun(*put, "2", stdin=lines))
    read = ["consume", "placed", "--from", "earliest", "--until", "latest", "--partition"]
    assert ["", lines.replace(":", "\t")] == [ok(riverrun(*read, number)) for number in "12"]
    assert "it has 0 to 2" in refused(riverrun(*put, "3", stdin="a:1\n"))
    assert "--partition" in refused(riverrun(*put, "-1", stdin="a:1\n"), code=2)


def test_what_came_before_a_wrong_line_is_kept_and_told(riverrun: Riverrun):
    """The summary first, then the sentence, then exit code 1."""
    ok(riverrun("topic", "create", "wrong"))
    done = riverrun("produce", "wrong", "--key-separator", ":", stdin="a:1\nb:2\nnothing\nc:3\n")
    assert "line 3" in refused(done)
    assert "acknowledged 2 records" in done.stdout
    assert "1\n2\n" == ok(riverrun("consume", "wrong", "--from", "earliest", "--until", "latest", "--format", "raw"))


def test_headers_go_in_and_come_out(riverrun: Riverrun):
    """On every record; as columns of text, and all of them as JSON; what is none is said in a sentence."""
    ok(riverrun("topic", "create", "headed"))
    ok(riverrun("produce", "headed", stdin="0\n"))
    given = ["--header", "kind=a=b", "--header", "via=x", "--header", "via=y", "--header", "none="]
    ok(riverrun("produce", "headed", *given, "--key-separator", ":", stdin="k:1\nk:2\n"))
    read = ["consume", "headed", "--from", "earliest", "--until", "latest"]
    assert "0\nk\t1\nk\t2\n" == ok(riverrun(*read))
    columns = ["--header", "via", "--header", "kind", "--header", "absent"]
    assert "\t\t\t0\nx,y\ta=b\t\tk\t1\nx,y\ta=b\t\tk\t2\n" == ok(riverrun(*read, *columns))
    records = [json.loads(line) for line in ok(riverrun(*read, "--format", "json")).splitlines()]
    assert [["kind", "a=b"], ["via", "x"], ["via", "y"], ["none", ""]] == records[2]["headers"]
    assert [] == records[0]["headers"]
    for wrong in ("kind", "=value", ""):
        assert "is not NAME=VALUE" in refused(riverrun("produce", "headed", "--header", wrong, stdin="x\n"), code=2)
    for form in ("json", "raw"):
        assert "is for --format text" in refused(riverrun(*read, "--format", form, "--header", "via"), code=2)
    assert 3 == len(ok(riverrun(*read)).splitlines())


def test_a_table_goes_in_by_rows(riverrun: Riverrun, tmp_path: Path):
    """Each row an object, its key a column; a column that is not there is named, with those that are."""
    table = tmp_path / "table.csv"
    table.write_text("id,amount\n7,1.5\n8,2\n")
    ok(riverrun("topic", "create", "rows"))
    ok(riverrun("produce", "rows", "--from-csv", str(table), "--key", "id"))
    out = ok(riverrun("consume", "rows", "--from", "earliest", "--until", "latest"))
    assert '7\t{"id":"7","amount":"1.5"}\n8\t{"id":"8","amount":"2"}\n' == out
    assert "it has id, amount" in refused(riverrun("produce", "rows", "--from-csv", str(table), "--key", "no"))
    refused(riverrun("produce", "rows", "--key", "id"), code=2)
    table.write_text("id,amount\n9,3\n10\n")
    assert "line 3" in refused(riverrun("produce", "rows", "--from-csv", str(table), "--key", "id"))


def test_a_receipt_is_checked(riverrun: Riverrun):
    """Exit code 0 where the record is on a majority's disks, 1 with a sentence where it is not."""
    ok(riverrun("topic", "create", "checked"))
    ok(riverrun("produce", "checked", stdin="one\ntwo\n"))
    said = ok(riverrun("verify", "checked/0@1"))
    assert "held" in said
    assert "offset 1 is on the disks of 1 of 1 replicas, with one checksum" in said
    found = json.loads(ok(riverrun("verify", "checked/0@0", "--json")))
    assert (True, ["held"]) == (found["safe"], [copy["state"] for copy in found["copies"]])
    assert "the partition ends before it" in refused(riverrun("verify", "checked/0@2"))
    assert not json.loads(riverrun("verify", "checked/0@2", "--json").stdout)["safe"]
    assert "no topic" in refused(riverrun("verify", "absent/0@0"))
    assert "there is no 9" in refused(riverrun("verify", "checked/9@0"))
    for wrong in ("checked", "checked/0", "checked/0@", "checked/x@0", "checked/0@-1"):
        assert "is not TOPIC/PARTITION@OFFSET" in refused(riverrun("verify", wrong), code=2)


def test_the_cluster_says_how_it_is(riverrun: Riverrun):
    """Healthy is exit code 0, and JSON for programs."""
    status = json.loads(ok(riverrun("cluster", "status", "--json")))
    assert status["healthy"]
    assert ["alive"] == [node["state"] for node in status["nodes"]]
    assert "controller: node 1" in ok(riverrun("cluster", "status"))


def test_a_node_is_added_with_all_that_it_listens_on(riverrun: Riverrun, tmp_path: Path):
    """HTTP, too, which tells how it is; a file that cannot be written is told before the cluster has a node more."""
    addresses = ["--client-address", "127.0.0.1:9", "--peer-address", "127.0.0.1:10", "--http-address", "127.0.0.1:11"]
    add = ["cluster", "add", *addresses, "--data-dir", str(tmp_path / "data"), "--output"]
    assert "cannot be written" in refused(riverrun(*add, str(tmp_path / "absent" / "node.toml")), code=2)
    assert 1 == len(json.loads(ok(riverrun("cluster", "status", "--json")))["nodes"])
    output = tmp_path / "node.toml"
    said = ok(riverrun(*add, str(output)))
    config = read_config(output)
    assert f"added node {config.node}; start it there: riverrun node --config {output}" in said
    assert config.http is not None
    assert ("127.0.0.1:11", True) == (config.http.bind, config.joins)
    ok(riverrun("cluster", "remove", str(config.node)))
    assert 1 == len(json.loads(ok(riverrun("cluster", "status", "--json")))["nodes"])


def test_what_is_wrong_is_said_in_a_sentence(riverrun: Riverrun):
    """Unknown topic, nobody there, a place that is none, an option that is none."""
    assert "no topic" in refused(riverrun("produce", "absent", stdin="x\n"))
    assert "absent" in refused(riverrun("consume", "absent", "--from", "earliest", "--until", "latest"))
    assert "127.0.0.1:9" in refused(riverrun("topic", "list", at="127.0.0.1:9"))
    refused(riverrun("topic", "list", at="no-port"))
    assert "yesterday" in refused(riverrun("consume", "x", "--from", "yesterday"), code=2)
    refused(riverrun("topic", "create"), code=2)
    refused(riverrun("nonsense"), code=2)
    assert "leave out http://" in refused(riverrun("topic", "list", at="http://127.0.0.1:7171"))


def test_numbers_that_are_none_are_refused(riverrun: Riverrun):
    """None of nothing, or of less: by the command line itself."""
    for number in ("0", "-1", "many"):
        for option in ("--partitions", "--replicas"):
            assert option in refused(riverrun("topic", "create", "none", option, number), code=2)
        assert "--max" in refused(riverrun("consume", "none", "--max", number), code=2)
    assert "--partition" in refused(riverrun("consume", "none", "--partition", "-1"), code=2)
    assert "none" not in ok(riverrun("topic", "list"))


COMMANDS = (
    "|dev|node|topic|topic create|topic list|topic alter|topic trim|topic describe|topic delete"
    "|produce|consume|verify|cluster|cluster status|group|group list|group describe|group reset|group delete"
    "|cluster add|cluster drain|cluster remove|cluster replace|cluster reassignments|topic reassign"
)


@pytest.mark.parametrize("command", COMMANDS.split("|"))
def test_every_command_explains_itself(riverrun: Riverrun, command: str):
    """With -h and --help, and every option with a word about it."""
    said = ok(riverrun(*command.split(), "--help"))
    assert "Usage:" in said
    for line in said.splitlines():
        if line.strip().startswith("--"):
            assert len(line.split("  ")) > 1 or line.rstrip().endswith("]"), line
