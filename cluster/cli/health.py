"""`riverrun health`: what a container's health check runs, since there is no curl in the image.

It asks the node over HTTP, where the node's own configuration says that it listens, and as that says. Over TLS it does
not look whose certificate it gets, since loopback is in none: what is asked is no secret, and nothing rests on it.
"""

import http.client
import json
import ssl
from pathlib import Path

import click

from cluster.cli.config_file import read_config
from cluster.config import NodeConfig, TlsConfig
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
    config = read_config(path)
    if config.http is None:
        raise RefusedToStart(f"the configuration {path} has no http listener, which answers for a node's health")
    click.echo(ask(config, config.http.bind, "/readyz" if ready else "/healthz", timeout_s=timeout_s))


def ask(config: NodeConfig, bind: str, url: str, *, timeout_s: float) -> str:
    """What the node says, if that is yes; Unavailable with why not."""
    host, _, port = bind.rpartition(":")
    if not port.isdecimal():
        raise RefusedToStart(f"the http listener {bind!r} is not HOST:PORT")
    place = (ANYWHERE.get(host, host.strip("[]")), int(port))
    if config.tls is None or config.tls.http_speaks == "plain":
        asking = http.client.HTTPConnection(*place, timeout=timeout_s)
    else:
        asking = http.client.HTTPSConnection(*place, timeout=timeout_s, context=_context(config.tls))
    try:
        asking.request("GET", url)
        answer = asking.getresponse()
        said = answer.read(4096).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"no answer from {bind}: {error}") from error
    finally:
        asking.close()
    if answer.status != http.HTTPStatus.OK:
        raise Unavailable(f"{bind} says {answer.status}: {_message(said)}")
    return said


def _context(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls.http_speaks == "mutual":
        try:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        except OSError as error:  # also ssl.SSLError
            raise RefusedToStart(f"cannot use the certificate {tls.cert_file} to ask with: {error}") from error
    return context


def _message(said: str) -> str:
    """The sentence in an error's JSON, or all of it."""
    try:
        told = json.loads(said)
    except ValueError:
        return said
    return str(told.get("message", said)) if isinstance(told, dict) else said
