"""Scripts as people write them, on real nodes over gRPC: the README's, and how they end."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import Record, connect_blocking
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.errors import OffsetConflict, UnknownTopic

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
RECORDS = 2_000


@pytest.fixture
def server(make_cluster: Callable[[int], LocalCluster]) -> str:
    """The address of a node that runs."""
    cluster = make_cluster(1)
    cluster.start_all()
    asyncio.run(wait_ready(cluster))
    return cluster.address(1)


def start(script: str) -> "subprocess.Popen[str]":
    """Python, with the script."""
    return subprocess.Popen(
        [sys.executable, "-W", "default", "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_first_commands_of_the_readme_work(server: str):
    """One after the other, as a new user types them: none fails, and what went in comes out."""
    (typed,) = (block for block in COMMANDS if "riverrun topic create orders" in block)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", typed.replace("source .venv/bin/activate\n", "")],
        cwd=ROOT,
        env=os.environ | {"RIVERRUN_SERVER": server, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "acknowledged 1,000 records in 12 partitions of orders" in done.stdout
    assert sorted(f"till-{n}\t{n}" for n in range(1, 1001)) == sorted(re.findall("^till-.*", done.stdout, re.MULTILINE))
    assert "offset 0 is on the disks of 1 of 1 replicas" in done.stdout
    assert "topic orders keeps records for 7d, up to 10GiB a partition" in done.stdout


def test_the_readme_is_true(server: str):
    """Each of its Python examples runs, one after the other, and prints what it says that it prints."""
    with connect_blocking(server) as client:
        client.create_topic("orders", partitions=12)
    said = []
    for snippet in (snippet for snippet in SNIPPETS if "127.0.0.1:7171" in snippet):
        done = start(snippet.replace("127.0.0.1:7171", server))
        out, wrong = done.communicate(timeout=30)
        assert (0, "") == (done.returncode, wrong)
        said.append(out)

    assert 3 == len(said)
    assert re.fullmatch(r"0 1\n\d+ 0 b'three apples'\n", said[0])
    assert "[b'five pears']\n" == said[1]
    assert "[b'five pears', b'three apples']\n0\n" == said[2]


def test_a_script_over_grpc(server: str):
    """Produce, read, append on condition, check the receipt; errors with their types."""
    with connect_blocking(server) as client:
        client.create_topic("t")
        deliveries = [client.produce("t", b"%d" % n) for n in range(RECORDS)]
        assert list(range(RECORDS)) == [delivery.result(timeout_s=30).offset for delivery in deliveries]
        assert [b"%d" % n for n in range(RECORDS)] == [record.value for record in client.read("t", until="latest")]
        receipt = client.append("t", 0, [Record(value=b"a"), Record(value=b"b")], expected_end=RECORDS)
        assert (RECORDS, 2, 0) == (receipt.offset, receipt.record_count, receipt.partition)
        with pytest.raises(OffsetConflict) as refused:
            client.publish("t", b"c", partition=0, expected_end=RECORDS)
        assert {"end": str(RECORDS + 2)} == refused.value.metadata
        found = client.verify("t", 0, receipt.offset)
        assert found.is_safe
        assert (RECORDS, 2) == (found.copies[0].base_offset, found.copies[0].record_count)
        with pytest.raises(UnknownTopic):
            client.publish("absent", b"v")


def test_ctrl_c_ends_a_script_that_waits(server: str):
    """With the traceback of an interrupted script, and soon."""
    with connect_blocking(server) as client:
        client.create_topic("t")
        client.publish("t", b"there")
    done = start(
        f"from cluster import connect_blocking\n"
        f"with connect_blocking({server!r}) as client:\n"
        f"    for record in client.read('t'):\n"
        f"        print(record.value)\n"
    )
    assert done.stdout is not None
    assert "b'there'\n" == done.stdout.readline()
    done.send_signal(signal.SIGINT)
    _, wrong = done.communicate(timeout=20)

    assert wrong.endswith("KeyboardInterrupt\n"), wrong
    assert -signal.SIGINT == done.returncode, wrong


def test_a_script_that_forgets_to_close_ends_all_the_same(server: str):
    """With the warning that Python shows where it shows such warnings."""
    done = start(
        f"from cluster import connect_blocking\n"
        f"client = connect_blocking({server!r})\n"
        f"print(client.cluster_status().answered_by)\n"
    )
    out, wrong = done.communicate(timeout=20)

    assert (0, "1\n") == (done.returncode, out)
    assert "a riverrun client was not closed" in wrong
