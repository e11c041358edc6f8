"""`riverrun health`: yes, no, and nobody there. Real nodes answer it in `tests/deploy`."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cluster.cli import health
from cluster.cli.config_file import write_config
from cluster.config import ListenerConfig, NodeConfig, PeerConfig
from cluster.errors import RefusedToStart, Unavailable


class _Waiting(BaseHTTPRequestHandler):
    """A node that lives and is not ready."""

    def do_GET(self) -> None:
        alive = self.path == "/healthz"
        body = b'{"alive":true}' if alive else b'{"code":"unavailable","message":"this node waits for a controller"}'
        self.send_response(200 if alive else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where such a node listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Waiting)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def _asked(folder: Path, http: ListenerConfig | None, *arguments: str) -> Result:
    path = folder / "node.toml"
    loopback = ListenerConfig(bind="127.0.0.1:1")
    config = NodeConfig(
        cluster_id="0" * 32,
        node=1,
        data_dir="data",
        client=loopback,
        peer=loopback,
        http=http,
        peers=(PeerConfig(node=1, peer="127.0.0.1:1"),),
        insecure=True,
    )
    write_config(config, path)
    return CliRunner().invoke(health.command, ["--config", str(path), *arguments])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_asks_where_the_node_listens(tmp_path: Path, port: int, host: str):
    """By the node's own configuration: who binds to all addresses is asked on loopback."""
    done = _asked(tmp_path, ListenerConfig(bind=f"{host}:{port}"))
    assert (0, '{"alive":true}\n') == (done.exit_code, done.output)


def test_a_node_that_is_not_ready_says_what_it_waits_for(tmp_path: Path, port: int):
    """In the error's own sentence."""
    done = _asked(tmp_path, ListenerConfig(bind=f"127.0.0.1:{port}"), "--ready")
    assert isinstance(done.exception, Unavailable)
    assert f"127.0.0.1:{port} says 503: this node waits for a controller" == done.exception.message


def test_nobody_there(tmp_path: Path):
    """Nothing listens."""
    done = _asked(tmp_path, ListenerConfig(bind="127.0.0.1:1"))
    assert isinstance(done.exception, Unavailable)
    assert "no answer from 127.0.0.1:1" in done.exception.message


@pytest.mark.parametrize(
    ("http", "says"),
    [(None, "has no http listener"), (ListenerConfig(bind="127.0.0.1"), "is not HOST:PORT")],
)
def test_a_node_without_http_cannot_be_asked(tmp_path: Path, http: ListenerConfig | None, says: str):
    """That is said, and is no crash."""
    done = _asked(tmp_path, http)
    assert isinstance(done.exception, RefusedToStart)
    assert says in done.exception.message
