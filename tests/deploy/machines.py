"""What each kind of manifest says of its nodes, in one form: enough to run them. Pure.

The lines that are run, what is in their files and in their environment come from the manifests alone. Made up here is
what a person makes once (the cluster's id and secret) and what the place gives (fields of pods).
"""

import re
import shlex
from dataclasses import dataclass, field, replace

from tests.deploy.manifests import (
    DEPLOY,
    Document,
    health_line,
    one,
    pod_environment,
    read_compose,
    read_dockerfile,
    read_environment_file,
    read_unit,
    render,
    values_of,
)

CLUSTER_ID = "0123456789abcdef0123456789abcdef"
SECRET = "of nodes only"
UNIT_NODES = 3
PATH = "/opt/riverrun/bin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One node, as its manifest has it."""

    node: int
    names: tuple[str, ...]
    """By which the others find it."""
    command: tuple[str, ...]
    health: tuple[str, ...]
    environment: dict[str, str]
    grace_s: float
    """From SIGTERM to SIGKILL."""
    files: dict[str, str] = field(default_factory=dict)
    probes: tuple[str, ...] = ()
    """URLs of HTTP probes."""


def image_machine() -> Machine:
    """What the image runs by itself; the rest is said by whoever runs it."""
    _, image = read_dockerfile()
    settings = image.environment() | {"PATH": PATH}
    assert image.environment()["PATH"] == "/opt/riverrun/bin:$PATH"
    return Machine(
        node=0,
        names=(),
        command=(*image.words("ENTRYPOINT"), *image.words("CMD")),
        health=tuple(health_line(image)),
        environment=settings,
        grace_s=10,
    )


def compose_machines(*files: str) -> list[Machine]:
    """The services that run nodes; the health check of the file stands for that of the image."""
    compose = read_compose(*files)
    image = image_machine()
    return [
        replace(
            image,
            node=int(service["environment"]["RIVERRUN_NODE"]),
            names=(name,),
            health=tuple(service["healthcheck"]["test"][1:]),
            environment=image.environment | _interpolated(service["environment"]),
            grace_s=float(service["stop_grace_period"].removesuffix("s")),
            files=_mounted(service, compose),
        )
        for name, service in compose["services"].items()
        if name.startswith("riverrun-")
    ]


def _interpolated(environment: dict[str, str]) -> dict[str, str]:
    """With what .env says."""
    return {
        name: re.sub(r"\$\{RIVERRUN_CLUSTER_ID:\?[^}]*\}", CLUSTER_ID, value) for name, value in environment.items()
    }


def _mounted(service: Document, compose: Document) -> dict[str, str]:
    files = {f"/run/secrets/{name}": SECRET for name in service["secrets"] if name in compose["secrets"]}
    for mount in service["volumes"]:
        source, target, *_ = mount.split(":")
        if source.startswith("."):
            files[target] = (DEPLOY / "compose" / source).read_text()
    return files


def chart_machines(values: str, *, certificates: dict[str, str] | None = None, **changes: object) -> list[Machine]:
    """The pods of the StatefulSet. `certificates`: the files of the Secret that the values name for TLS."""
    documents = render(values_of(values) | changes)
    spec = one(documents, "StatefulSet")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    image = image_machine()
    config = one(documents, "ConfigMap", "riverrun")["data"]["node.toml"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    delay_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    machines = []
    for number in range(spec["ordinals"]["start"], spec["ordinals"]["start"] + spec["replicas"]):
        name = f"riverrun-{number}"
        fields = {
            "metadata.name": name,
            "metadata.labels['apps.kubernetes.io/pod-index']": str(number),
            "metadata.labels['topology.kubernetes.io/zone']": f"zone-{number % 3}",
        }
        told = pod_environment(container, fields, {"cluster-id": CLUSTER_ID})
        machines.append(
            replace(
                image,
                node=number,
                names=(f"{name}.{spec['serviceName']}.streaming.svc.cluster.local", name),
                command=(image.command[0], *container["args"]),
                environment=image.environment | told,
                grace_s=pod["terminationGracePeriodSeconds"] - delay_s,
                files={f"{mounts['config']}/node.toml": config, f"{mounts['cluster']}/secret": SECRET}
                | {f"{mounts['tls']}/{file}": content for file, content in (certificates or {}).items()},
                probes=tuple(map(_url, ("startupProbe", "livenessProbe", "readinessProbe"), [container] * 3)),
            )
        )
    return machines


def _url(probe: str, container: Document) -> str:
    asked = container[probe]["httpGet"]
    (port,) = [port["containerPort"] for port in container["ports"] if port["name"] == asked["port"]]
    return f"{asked['scheme'].lower()}://127.0.0.1:{port}{asked['path']}"


def unit_machines() -> list[Machine]:
    """The unit on as many machines as its configuration names, with what is to be filled in for each."""
    service = read_unit()["Service"]
    folder = DEPLOY / "systemd"
    first = read_environment_file((folder / "environment").read_text())
    fixed = dict(pair.split("=", 1) for pair in shlex.split(service["Environment"]))
    return [
        replace(
            image_machine(),
            node=number,
            names=(f"riverrun-{number}",),
            command=tuple(service["ExecStart"].split()),
            environment={"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1"}
            | fixed
            | {name: value.replace("riverrun-1", f"riverrun-{number}") for name, value in first.items()}
            | {"RIVERRUN_NODE": str(number), "RIVERRUN_CLUSTER_ID": CLUSTER_ID},
            grace_s=float(service["TimeoutStopSec"]),
            files={"/etc/riverrun/node.toml": (folder / "node.toml").read_text(), "/etc/riverrun/secret": SECRET},
        )
        for number in range(1, UNIT_NODES + 1)
    ]
