"""A node's configuration file: TOML in, `NodeConfig` out, and every mistake named with its place."""

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import msgspec

from cluster.config import NodeConfig
from cluster.errors import RefusedToStart

LOOPBACK = ("127.", "localhost:", "[::1]:")
ENVIRONMENT = "RIVERRUN_"
"""`RIVERRUN_DATA_DIR` overrides `data_dir`, and so on for every field that is not a table."""


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


def _override(values: dict[str, Any]) -> None:
    for field in dataclasses.fields(NodeConfig):
        setting = os.environ.get(ENVIRONMENT + field.name.upper())
        if setting is not None and field.type in {str, int, bool, "str", "int", "bool"}:
            values[field.name] = setting


def _check(config: NodeConfig, path: Path) -> None:
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
    if not config.insecure:
        for name, listener in (("client", config.client), ("peer", config.peer), ("http", config.http)):
            if listener is not None and not listener.bind.startswith(LOOPBACK):
                raise RefusedToStart(
                    f"the {name} listener {listener.bind} is beyond loopback and there is no TLS yet; "
                    "bind it to 127.0.0.1 or set insecure = true"
                )
