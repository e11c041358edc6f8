"""A node process: logging, the real world, signals, and the exit code."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import structlog
import uvloop

from cluster.cli.config_file import in_the_clear, read_config
from cluster.cli.logs import Logs
from cluster.config import NodeConfig
from cluster.errors import DiskFailed, RefusedToStart, RiverrunError
from cluster.node import Node
from cluster.real.clock import RealClock
from cluster.real.tls import NodeTls
from cluster.real.world import real_processing, real_world
from cluster.types import ClusterId, NodeId

log_event = structlog.get_logger()


def run_node(path: Path, *, log_format: str = "json", log_level: str = "info") -> int:
    """Run until stopped; the exit code."""
    logs = Logs(log_format, log_level)
    try:
        config = read_config(path)
        logs.node = config.node
        return uvloop.run(_run(config, logs))
    except RiverrunError as error:
        log_event.critical("node_refused", reason=error.reason, detail=error.message)
        print(f"riverrun: {error.message}", file=sys.stderr)  # noqa: T201  the last line that a person reads
        return 1


async def _run(config: NodeConfig, logs: Logs) -> int:
    ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def end(error: BaseException | None = None) -> None:
        if not ended.done():
            ended.set_result(error)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    secret = _secret(config)
    directory = Path(config.data_dir)
    for name, listener in in_the_clear(config):
        log_event.warning("listener_without_tls", listener=name, address=listener.bind, detail="insecure = true")
    world = real_world(directory, _tls(config))
    processing = real_processing(directory, config.processing)
    node = Node(config, world, secret=secret, on_fatal=end, processing=processing)
    logs.meters = node.meters
    try:
        await node.start()
        log_event.info("node_ready", node=config.node, client=config.client.address, peer=config.peer.address)
        error = await ended
        if error is not None:
            log_event.critical("node_failed", node=config.node, error=repr(error))
            if isinstance(error, DiskFailed | OSError):
                sys.stdout.flush()
                os._exit(1)  # what unwinds could still write, and say what is not so
            if isinstance(error, RefusedToStart):
                raise error  # it learnt from its peers that it must not run: the last line says why
            return 1
        log_event.info("node_stopping", node=config.node)
        await node.drain()
    finally:
        await node.stop()
    return 0


def _tls(config: NodeConfig) -> NodeTls | None:
    if config.tls is None:
        return None
    cluster = ClusterId(bytes.fromhex(config.cluster_id))
    return NodeTls(config.tls, cluster, NodeId(config.node), wall_ns=RealClock().wall_ns)


def _secret(config: NodeConfig) -> bytes:
    if not config.secret_file:
        return b""
    try:
        secret = Path(config.secret_file).read_bytes().strip()
    except OSError as error:
        raise RefusedToStart(f"cannot read the secret {config.secret_file}: {error.strerror}") from error
    if not secret:
        raise RefusedToStart(f"the secret {config.secret_file} is empty: write one to it (openssl rand -hex 32)")
    return secret
