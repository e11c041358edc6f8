"""A node's configuration file: TOML in, `NodeConfig` out, and every mistake named with its place."""

import dataclasses
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import msgspec

from cluster.cli.config_numbers import refuse_senseless
from cluster.config import ListenerConfig, NodeConfig, TlsConfig
from cluster.errors import RefusedToStart

ENVIRONMENT = "RIVERRUN_"
"""`RIVERRUN_DATA_DIR` overrides `data_dir`, `RIVERRUN_CLIENT_ADVERTISE` what the table [client] says, and so on
for every field that is one text, number or switch; lists are said in the file only. So all nodes can share a file.
"""


def read_config(path: Path) -> NodeConfig:
    """The file's configuration, checked; RefusedToStart with one sentence if it cannot be used."""
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise RefusedToStart(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RefusedToStart(f"the configuration {path} is not TOML: {error}") from error
    _refuse_unknown(values, NodeConfig, where=str(path), inside="")
    _override(values)
    try:
        config = msgspec.convert(values, NodeConfig, strict=False)
    except msgspec.ValidationError as error:
        raise RefusedToStart(f"the configuration {path} is wrong: {error}") from error
    _check(config, path)
    return config


def write_config(config: NodeConfig, path: Path) -> None:
    """Write what `read_config` reads, without what equals the defaults."""
    lines: list[str] = []
    tables: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "peers":
            tables += [f"\n[[peers]]\n{_assignments(peer)}" for peer in value]
        elif dataclasses.is_dataclass(value):
            if field.default_factory is dataclasses.MISSING or value != field.default_factory():
                tables.append(f"\n[{field.name}]\n{_assignments(value)}")
        elif value != field.default:
            lines.append(f"{field.name} = {_literal(value)}")
    path.write_text("\n".join([*lines, *tables]) + "\n")


def _assignments(value: Any) -> str:
    pairs = ((field.name, getattr(value, field.name), field.default) for field in dataclasses.fields(value))
    return "\n".join(f"{name} = {_literal(item)}" for name, item, default in pairs if item != default)


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return (
        str(value)
        if isinstance(value, int | float)
        else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def _refuse_unknown(values: Mapping[str, Any], cls: type, *, where: str, inside: str) -> None:
    known = get_type_hints(cls)
    for name, value in values.items():
        if name not in known:
            raise RefusedToStart(f"the configuration {where} has an unknown field {inside + name!r}")
        for table in (known[name], *get_args(known[name])):  # one that may be absent is `Table | None`
            if dataclasses.is_dataclass(table) and isinstance(value, dict):
                _refuse_unknown(value, cast("type", table), where=where, inside=f"{inside}{name}.")


def settings(cls: type = NodeConfig, inside: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The place in the file of each field that a variable in the environment can override."""
    for name, kind in get_type_hints(cls).items():
        tables = [table for table in (kind, *get_args(kind)) if dataclasses.is_dataclass(table)]
        if kind in {str, int, float, bool} or any(get_origin(part) is Literal for part in (kind, *get_args(kind))):
            yield (*inside, name)
        elif tables and get_origin(kind) is not tuple:
            yield from settings(cast("type", tables[0]), (*inside, name))


def variable(place: tuple[str, ...]) -> str:
    """Its name.

    >>> variable(("http", "bind"))
    'RIVERRUN_HTTP_BIND'
    """
    return ENVIRONMENT + "_".join(place).upper()


def _override(values: dict[str, Any]) -> None:
    for place in settings():
        setting = os.environ.get(variable(place))
        if setting is None:
            continue
        table: Any = values
        for name in place[:-1]:
            table = table.setdefault(name, {}) if isinstance(table, dict) else table
        if isinstance(table, dict):  # if not, the file is wrong, and is told so
            table[place[-1]] = setting


def _check(config: NodeConfig, path: Path) -> None:
    refuse_senseless(config, path)
    if len(config.cluster_id) != 32 or set(config.cluster_id) - set("0123456789abcdef"):
        raise RefusedToStart(f"the configuration {path} needs a cluster_id of 32 hexadecimal digits")
    if config.node not in {peer.node for peer in config.peers}:
        raise RefusedToStart(f"the configuration {path} lists peers without node {config.node} itself")
    if len({peer.node for peer in config.peers}) != len(config.peers):
        raise RefusedToStart(f"the configuration {path} lists a node twice among its peers")
    if len(config.peers) > config.controller.nodes_max:
        raise RefusedToStart(
            f"the configuration {path} lists {len(config.peers)} nodes; controller.nodes_max is "
            f"{config.controller.nodes_max}"
        )
    if config.tls is not None:
        _check_tls(config.tls, path)
    for name, listener in in_the_clear(config):
        if not config.insecure:
            way = "configure [tls]" if config.tls is None else f'set tls.{name} = "tls"'
            raise RefusedToStart(
                f"the {name} listener {listener.bind} is beyond loopback and speaks plain text; {way}, bind it to "
                "127.0.0.1, or set insecure = true"
            )
    if config.tls is None and not config.secret_file and not _is_loopback(config.peer.bind):
        raise RefusedToStart(
            f"the peer listener {config.peer.bind} is beyond loopback without secret_file: whoever reaches it passes "
            "for a node, for every client is told the cluster's id; write a secret to a file (openssl rand -hex 32), "
            "the same on all nodes, or configure [tls]"
        )
    for name, listener in (("client", config.client), ("peer", config.peer)):
        if _is_everywhere(listener.address):
            raise RefusedToStart(
                f"the {name} listener is bound to every address, and others would be told to use {listener.address}, "
                f"where they do not reach it; set {name}.advertise to the address where they do"
            )


def in_the_clear(config: NodeConfig) -> list[tuple[str, ListenerConfig]]:
    """The listeners, by their names, that speak plain text beyond loopback."""
    tls = config.tls
    plain = {
        "client": config.client if tls is None or tls.client == "plain" else None,
        "peer": config.peer if tls is None else None,
        "http": config.http if tls is None or tls.http_speaks == "plain" else None,
    }
    return [(name, one) for name, one in plain.items() if one is not None and not _is_loopback(one.bind)]


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_everywhere(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _check_tls(tls: TlsConfig, path: Path) -> None:
    missing = [name for name in ("cert_file", "key_file", "ca_file") if not getattr(tls, name)]
    if missing:
        raise RefusedToStart(
            f"the configuration {path} has [tls] without {' and '.join(missing)}: a node needs its certificate, the "
            "certificate's key and the CAs of the other nodes"
        )
    if bool(tls.client_cert_file) != bool(tls.client_key_file):
        raise RefusedToStart(
            f"the configuration {path} has only one of tls.client_cert_file and tls.client_key_file: both are needed"
        )
