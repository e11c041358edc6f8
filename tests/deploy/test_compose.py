"""The Compose files, alone and laid over each other: their format, and that what they name is there."""

import json
import tomllib
from typing import Any

import pytest

from tests.deploy.manifests import DEPLOY, Document, read_compose, yaml

COMPOSE = DEPLOY / "compose"
FILES = {"plain": ("compose.yaml",), "chaos": ("compose.yaml", "compose.chaos.yaml")}
MADE_BY_HAND = {"./cluster-secret"}
"""As the head of compose.yaml says."""


@pytest.fixture(params=FILES)
def compose(request: pytest.FixtureRequest) -> Document:
    """Without the overlay, and with it."""
    return read_compose(*FILES[request.param])


def test_it_is_compose(compose: Document):
    """By the specification: fields, values, and that networks and secrets that are named exist."""
    checked(compose)
    for name in FILES["chaos"]:
        checked(yaml.safe_load((COMPOSE / name).read_text()), whole=name == "compose.yaml")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"read_onli": True}, "read_onli"),
        ({"stop_grace_period": "30 parsecs"}, "stop_grace_period"),
        ({"secrets": ["none"]}, "none"),
    ],
)
def test_what_is_wrong_would_be_found(change: dict[str, Any], says: str):
    """A check that finds nothing in a wrong file is none."""
    compose = read_compose("compose.yaml")
    compose["services"]["riverrun-1"] |= change
    with pytest.raises(ValueError, match=says):
        checked(compose)


def checked(compose: Document, *, whole: bool = True) -> None:
    """ValueError says what is wrong. `whole`: what is named in it has to be in it."""
    spec = pytest.importorskip("compose_spec", reason="what checks Compose files is not here: make manifests")
    read = spec.PyCompose.from_yaml(yaml.safe_dump(compose))
    if whole:
        for check in (read.validate_networks, read.validate_volumes, read.validate_secrets, read.validate_configs):
            check()


def test_files_that_are_mounted_are_there(compose: Document):
    """And whoever is waited for is a service."""
    mounts = [mount.split(":")[0] for service in compose["services"].values() for mount in service.get("volumes", ())]
    mounts += [secret["file"] for secret in compose["secrets"].values()]
    files = [mount for mount in mounts if mount.startswith(".")]
    assert len(files) > 5
    assert {mount for mount in mounts if not mount.startswith(".")} == compose["volumes"].keys()
    assert [] == [name for name in files if name not in MADE_BY_HAND and not (COMPOSE / name).is_file()]
    waited = {other for service in compose["services"].values() for other in service.get("depends_on", ())}
    assert waited <= compose["services"].keys()


def test_ports_are_this_machines_only(compose: Document):
    """Each once: it is for trying out, without TLS."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    taken = [port.rpartition(":")[0] for port in ports]
    assert len(ports) == len(set(taken)) >= 8
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]


def test_nothing_can_become_more_than_it_is(compose: Document):
    """No capabilities, no new privileges; nodes have a root that they cannot write to."""
    for name, service in compose["services"].items():
        assert ["ALL"] == service["cap_drop"], name
        assert ["no-new-privileges:true"] == service["security_opt"], name
        assert service.get("read_only") or name == "grafana", name


def test_prometheus_asks_every_node(compose: Document):
    """By its number, so that rules and dashboard can name it."""
    jobs = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    targets = {item["targets"][0]: item["labels"]["node"] for item in jobs[0]["static_configs"]}
    nodes = {name: service for name, service in compose["services"].items() if name.startswith("riverrun-")}

    assert "riverrun" == jobs[0]["job_name"]
    told = {s["environment"]["RIVERRUN_HTTP_ADVERTISE"]: s["environment"]["RIVERRUN_NODE"] for s in nodes.values()}
    assert told == targets


def test_the_nodes_of_the_overlay_differ_by_their_peers_only():
    """Each reaches the others over a proxy of its own, which leads to where it says."""
    plain = _toml("node.toml")
    proxies = {proxy["name"]: proxy for proxy in json.loads((COMPOSE / "chaos" / "toxiproxy.json").read_text())}
    used = set()
    for node in (1, 2, 3):
        told = _toml(f"chaos/node-{node}.toml")
        assert {**plain, "peers": told["peers"]} == told
        assert node == told["peers"][node - 1]["node"]
        assert plain["peers"][node - 1] == told["peers"][node - 1]
        for peer, direct in zip(told["peers"], plain["peers"], strict=True):
            for way, field in (("peer", "peer"), ("forward", "client")):
                proxy = proxies.get(f"{way}-{node}-{peer['node']}")
                assert (proxy is None) == (node == peer["node"])
                if proxy is not None:
                    used.add(proxy["name"])
                    assert proxy["listen"].replace("0.0.0.0", "toxiproxy") == peer[field]
                    assert direct[field] == proxy["upstream"]
    assert used == proxies.keys()


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((COMPOSE / name).read_text())
