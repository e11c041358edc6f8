"""`riverrun health`: what a container's health check runs, since there is no curl in the image.

It asks the node over HTTP, where the node's own configuration says that it listens.
"""

import http.client
import json
from pathlib import Path

import click

from cluster.cli.config_file import read_config
from cluster.config import ListenerConfig
from cluster.errors import RefusedToStart, Unavailable

ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "::1", "": "127.0.0.1"}  # noqa: S104  who binds to all listens here, too


@click.command(name="health")
@click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration (TOML) that the node runs from; RIVERRUN_<FIELD> overrides it here, too.",
)
@click.option("--ready", is_flag=True, help="Ask whether it can take requests, not only whether it lives.")
@click.option("--timeout", "timeout_s", default=2.0, show_default=True, metavar="SECONDS", help="For the answer.")
def command(path: Path, ready: bool, timeout_s: float) -> None:  # noqa: FBT001
    """Ask the node that runs here whether it lives (/healthz), or is ready (/readyz).

    Exit code 0: yes. 1: no, or it does not answer; the message says what it waits for.
    """
    listener = read_config(path).http
    if listener is None:
        raise RefusedToStart(f"the configuration {path} has no http listener, which answers for a node's health")
    click.echo(ask(listener, "/readyz" if ready else "/healthz", timeout_s=timeout_s))


def ask(listener: ListenerConfig, url: str, *, timeout_s: float) -> str:
    """What the node says, if that is yes; Unavailable with why not."""
    host, _, port = listener.bind.rpartition(":")
    if not port.isdecimal():
        raise RefusedToStart(f"the http listener {listener.bind!r} is not HOST:PORT")
    asking = http.client.HTTPConnection(ANYWHERE.get(host, host.strip("[]")), int(port), timeout=timeout_s)
    try:
        asking.request("GET", url)
        answer = asking.getresponse()
        said = answer.read(4096).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"no answer from {listener.bind}: {error}") from error
    finally:
        asking.close()
    if answer.status != http.HTTPStatus.OK:
        raise Unavailable(f"{listener.bind} says {answer.status}: {_message(said)}")
    return said


def _message(said: str) -> str:
    """The sentence in an error's JSON, or all of it."""
    try:
        told = json.loads(said)
    except ValueError:
        return said
    return str(told.get("message", said)) if isinstance(told, dict) else said
