"""What is written is what is read, and what is wrong is named."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.cli.config_file import in_the_clear, read_config, settings, variable, write_config
from cluster.cli.local import LocalCluster
from cluster.config import HttpOptions, ListenerConfig, TlsConfig
from cluster.errors import RefusedToStart


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The configuration of a local node."""
    return LocalCluster(tmp_path, nodes=1).config_path(1)


def test_http_survives_the_file(path: Path) -> None:
    """Lists, numbers, and that there is no such port."""
    config = read_config(path)
    assert config.http is not None
    assert "127.0.0.1:7371" == config.http.bind
    options = HttpOptions(origins_allowed=("https://a.example", 'b"\\'), body_bytes_max=7, events_keepalive_s=0.5)
    for changed in (replace(config, http_options=options), replace(config, http=None)):
        write_config(changed, path)
        assert changed == read_config(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[http]\nadvertise = 'x'", "bind"),
        ("[http]\nbynd = '127.0.0.1:1'", r"unknown field 'http\.bynd'"),
        ("[http]\nbind = '0.0.0.0:1'", r"the http listener 0\.0\.0\.0:1 is beyond loopback"),
        ("[http_options]\norigins_allowed = 'x'", "http_options.origins_allowed"),
    ],
)
def test_a_wrong_http_table_is_named(path: Path, text: str, says: str) -> None:
    """By its field."""
    write_config(replace(read_config(path), http=None), path)
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(RefusedToStart, match=says):
        read_config(path)


TLS = "[tls]\ncert_file = 'a'\nkey_file = 'b'\nca_file = 'c'\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tls]", r"has \[tls\] without cert_file and key_file and ca_file: a node needs"),
        ("[tls]\ncert_file = 'a'\nkey_file = 'b'", r"has \[tls\] without ca_file"),
        (TLS + "client_key_file = 'x'", "has only one of tls.client_cert_file and tls.client_key_file"),
        (TLS + "client = 'maybe'", "tls.client"),
        (TLS + "cert = 'x'", r"unknown field 'tls\.cert'"),
    ],
)
def test_a_wrong_tls_table_is_named(path: Path, text: str, says: str) -> None:
    """By its field; what is missing is said with what it is for."""
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(RefusedToStart, match=says):
        read_config(path)


def test_tls_survives_the_file_and_the_environment_adds_to_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it may come from there."""
    config = replace(read_config(path), tls=TlsConfig(cert_file="a", key_file="b", ca_file="c", client="mutual"))
    write_config(config, path)
    assert config == read_config(path)
    write_config(replace(config, tls=None), path)
    for name in ("cert_file", "key_file", "ca_file"):
        monkeypatch.setenv(f"RIVERRUN_TLS_{name.upper()}", name)
    monkeypatch.setenv("RIVERRUN_TLS_HTTP", "plain")
    assert (
        TlsConfig(cert_file="cert_file", key_file="key_file", ca_file="ca_file", http="plain") == read_config(path).tls
    )


@pytest.mark.parametrize(
    ("tls", "in_clear"),
    [
        (None, ["client", "peer", "http"]),
        (TlsConfig(cert_file="a", key_file="b", ca_file="c"), []),
        (TlsConfig(cert_file="a", key_file="b", ca_file="c", client="plain"), ["client", "http"]),
        (TlsConfig(cert_file="a", key_file="b", ca_file="c", client="plain", http="mutual"), ["client"]),
        (TlsConfig(cert_file="a", key_file="b", ca_file="c", client="mutual", http="plain"), ["http"]),
    ],
)
def test_plain_text_beyond_loopback_is_refused_or_insecure(
    path: Path, tls: TlsConfig | None, in_clear: list[str]
) -> None:
    """Each listener by its name; names that only look like loopback are none."""
    beyond = ListenerConfig(bind="127.0.0.1.example.com:1")
    config = replace(read_config(path), client=beyond, peer=beyond, http=ListenerConfig(bind="0.0.0.0:2"), tls=tls)
    write_config(config, path)
    if in_clear:
        with pytest.raises(RefusedToStart, match=f"the {in_clear[0]} listener .* is beyond loopback and speaks plain"):
            read_config(path)
    write_config(replace(config, insecure=True, secret_file="s"), path)
    assert in_clear == [name for name, _ in in_the_clear(read_config(path))]


@pytest.mark.parametrize("name", ["client", "peer"])
@pytest.mark.parametrize("bind", ["0.0.0.0:7171", "[::]:7171", ":7171"])
def test_an_address_that_nobody_can_be_told_is_refused(path: Path, name: str, bind: str) -> None:
    """Who binds to every address says which of them others are to use."""
    config = replace(read_config(path), insecure=True, secret_file="s")
    write_config(replace(config, **{name: ListenerConfig(bind=bind)}), path)
    with pytest.raises(RefusedToStart, match=f"the {name} listener .* set {name}.advertise"):
        read_config(path)
    write_config(replace(config, **{name: ListenerConfig(bind=bind, advertise="node-1.example.com:7171")}), path)
    read_config(path)


def test_nodes_that_others_reach_prove_themselves(path: Path) -> None:
    """By a secret or by TLS: the cluster's id, which says enough on loopback, is told to every client."""
    peer = ListenerConfig(bind="0.0.0.0:1", advertise="node-1:1")
    config = replace(read_config(path), peer=peer, insecure=True)
    write_config(config, path)
    with pytest.raises(RefusedToStart, match=r"the peer listener 0\.0\.0\.0:1 is beyond loopback without secret_file"):
        read_config(path)
    for proven in (
        replace(config, secret_file="s"),
        replace(config, tls=TlsConfig(cert_file="a", key_file="b", ca_file="c")),
    ):
        write_config(proven, path)
        assert proven == read_config(path)


@pytest.mark.slow
def test_commands_load_nothing_of_http_or_tls() -> None:
    """Clients and the command line start as fast as ever: only a node with an http listener, or TLS, needs it."""
    of_clients = "sys, cluster, cluster.cli, cluster.client.client, cluster.real.network"
    for names, unwanted in (
        (of_clients, {"starlette", "uvicorn", "httptools", "anyio", "cryptography"}),
        (of_clients + ", cluster.node", {"starlette", "uvicorn", "httptools", "anyio"}),
    ):
        look = f"import {names}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
        assert set() == unwanted & set(done.stdout.split())


def test_what_was_added_to_a_local_nodes_file_stays(tmp_path: Path) -> None:
    """Limits of user code, say; where its listeners are is said by whoever starts the cluster."""
    path = LocalCluster(tmp_path, nodes=1, port=7171).config_path(1)
    path.write_text(path.read_text() + "\n[processing]\nwork_s_max = 2.5\nhost_memory_bytes_max = 268435456\n")
    assert path == LocalCluster(tmp_path, nodes=1, port=8171).config_path(1)
    config = read_config(path)

    assert (2.5, 268435456) == (config.processing.work_s_max, config.processing.host_memory_bytes_max)
    assert "127.0.0.1:8171" == config.client.bind
    path.write_text(path.read_text() + "work_s = 1\n")
    with pytest.raises(RefusedToStart, match=r"unknown field 'processing\.work_s'"):
        read_config(path)


def test_the_environment_overrides_texts_numbers_and_switches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any depth, of tables that the file lacks, too; so nodes can share one file."""
    told = {
        "RIVERRUN_DATA_DIR": "/data",
        "RIVERRUN_INSECURE": "true",
        "RIVERRUN_CLIENT_ADVERTISE": "riverrun-1.internal:7171",
        "RIVERRUN_LINKS_LOST_AFTER_S": "2.5",
        "RIVERRUN_HTTP_OPTIONS_CONNECTIONS_MAX": "7",
        "RIVERRUN_PROCESSING_STORE": "lmdb",
        "RIVERRUN_SERVER": "is for clients",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    config = read_config(path)

    assert ("/data", True, "riverrun-1.internal:7171") == (config.data_dir, config.insecure, config.client.advertise)
    assert (2.5, 7, "lmdb") == (
        config.links.lost_after_s,
        config.http_options.connections_max,
        config.processing.store,
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RIVERRUN_NODE", "first", r"\$\.node"),
        ("RIVERRUN_NODE", "7", "without node 7 itself"),
        ("RIVERRUN_INSECURE", "perhaps", r"\$\.insecure"),
        ("RIVERRUN_PROCESSING_STORE", "paper", r"\$\.processing\.store"),
        ("RIVERRUN_PEER_BIND", "0.0.0.0:7271", "beyond loopback"),
    ],
)
def test_a_wrong_override_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    """As what is wrong in the file is, by its field."""
    monkeypatch.setenv(name, value)
    with pytest.raises(RefusedToStart, match=says):
        read_config(path)


def test_an_override_of_a_table_that_is_none_is_no_crash(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is wrong, and that is said."""
    path.write_text("links = 3\n" + path.read_text())
    monkeypatch.setenv("RIVERRUN_LINKS_LOST_AFTER_S", "2.5")
    with pytest.raises(RefusedToStart, match=r"\$\.links"):
        read_config(path)


def test_no_two_fields_have_one_variable() -> None:
    """The names of tables and fields are joined by what is in both; a new field may not make two of them one."""
    names = [variable(place) for place in settings()]
    assert len(names) == len(set(names))
    assert {"RIVERRUN_NODE", "RIVERRUN_HTTP_BIND", "RIVERRUN_HTTP_OPTIONS_IDLE_S_MAX"} <= set(names)
    assert "RIVERRUN_SERVER" not in names, "clients have it"


@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_nodes_id_is_a_number_from_one_on(path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Elsewhere 0 is nobody: no leader, replaced by none. Its own, and that of another one."""
    monkeypatch.setenv("RIVERRUN_NODE", value)
    with pytest.raises(RefusedToStart, match=rf"has node = {value}: it must be above 0"):
        read_config(path)
    monkeypatch.delenv("RIVERRUN_NODE")
    path.write_text(path.read_text() + f"\n[[peers]]\nnode = {value}\npeer = 'x:1'\n")
    with pytest.raises(RefusedToStart, match=rf"has peers\.node = {value}: it must be above 0"):
        read_config(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[controller]\ntick_s = 0", r"controller\.tick_s = 0\.0: it must be above 0"),
        ("[controller]\ntick_s = nan", r"controller\.tick_s = nan: it must be above 0"),
        ("[broker]\nmailbox_messages_max = 0", r"broker\.mailbox_messages_max = 0: it must be above 0"),
        ("[broker]\nreport_interval_s = -0.5", r"broker\.report_interval_s = -0\.5: it must be above 0"),
        ("[links]\nlost_after_s = inf", r"links\.lost_after_s = inf: it must be above 0"),
        ("[seeing]\nstop_notice_s = -1", r"seeing\.stop_notice_s = -1\.0: it must be 0 or more"),
        ("[seeing]\nstop_notice_s = nan", r"seeing\.stop_notice_s = nan: it must be 0 or more"),
        ("[seeing]\nstop_notice_s = 60", r"seeing\.stop_notice_s = 60\.0: it must be at most 4"),
        (TLS + "expiry_warning_s = -1", r"tls\.expiry_warning_s = -1\.0: it must be 0 or more"),
        ("[controller]\nelection_s_min = 2.0", r"controller\.election_s_min = 2\.0: .* at most election_s_max, 1\.0"),
        ("[raft]\nelection_ticks_max = 9", r"raft\.election_ticks_min = 10: .* at most election_ticks_max, 9"),
        ("[raft]\nheartbeat_ticks = 10", r"raft\.heartbeat_ticks = 10: it must be below election_ticks_min, 10"),
        ("[links]\nprotocol_max = 1\nprotocol_min = 2", r"links\.protocol_min = 2: .* at most protocol_max, 1"),
        ("[links]\nkeepalive_s = 2", r"links\.keepalive_s = 2\.0: it must be below lost_after_s, 1\.5"),
    ],
)
def test_a_number_without_sense_is_named(path: Path, text: str, says: str) -> None:
    """It had a loop spin, nobody be elected, or an assertion fail long after the start."""
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(RefusedToStart, match=says):
        read_config(path)


def test_what_says_of_zero_what_it_is_may_be_zero(path: Path) -> None:
    """Nothing, never, or all at once."""
    path.write_text(
        path.read_text()
        + "[raft]\nidle_ticks_before_sleep = 0\n[processing]\ncatch_up_pause = 0\nworkers_max = 0\n"
        + "[seeing]\nstop_notice_s = 0\nhand_over_s_max = 0\nmetric_topics_max = 0\nmetric_groups_max = 0\n"
        + "[controller]\nmoves_max = 0\n"
    )
    config = read_config(path)
    assert (0, 0, 0) == (
        config.controller.moves_max,
        config.raft.idle_ticks_before_sleep,
        config.seeing.hand_over_s_max,
    )
