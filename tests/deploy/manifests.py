"""The manifests of `deploy/` as data: read as the tools read them that will run them, and nothing added."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="what reads manifests is not here: make manifests")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "riverrun"
VALUE_SETS = ("default", "minimal", "production")
Document = dict[str, Any]


# --- the Dockerfile


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next: instructions and their values, in order."""

    instructions: tuple[tuple[str, str], ...]

    def values(self, instruction: str) -> list[str]:
        """Of all with that name."""
        return [value for name, value in self.instructions if name == instruction]

    def last(self, instruction: str) -> str:
        """The one that holds."""
        return self.values(instruction)[-1]

    def words(self, instruction: str) -> list[str]:
        """Of one in the form that needs no shell."""
        words = json.loads(self.last(instruction).removeprefix("CMD ") or "[]")
        assert all(isinstance(word, str) for word in words)
        return list(words)

    def environment(self) -> dict[str, str]:
        """What ENV sets; PATH is said with the image's own."""
        return dict(pair.split("=", 1) for value in self.values("ENV") for pair in shlex.split(value))


def read_dockerfile() -> tuple[Stage, Stage]:
    """The stage that builds, and the one that is the image."""
    text = (DEPLOY / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    pairs = [(name, value.strip()) for name, _, value in (line.partition(" ") for line in lines if line.strip())]
    starts = [place for place, (name, _) in enumerate(pairs) if name == "FROM"]
    assert 2 == len(starts)
    return Stage(tuple(pairs[starts[0] : starts[1]])), Stage(tuple(pairs[starts[1] :]))


def health_line(stage: Stage) -> list[str]:
    """The command of HEALTHCHECK, whose options come first."""
    command: list[str] = json.loads(stage.last("HEALTHCHECK").partition("CMD ")[2])
    return command


# --- Compose


def read_compose(*names: str) -> Document:
    """Files laid over each other: lists of volumes by where they are mounted, all else by its name."""
    merged: Document = {}
    for name in names:
        merged = _over(merged, yaml.safe_load((DEPLOY / "compose" / name).read_text()))
    return merged


def _over(below: Document, above: Document) -> Document:
    merged = dict(below)
    for name, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(name), dict):
            merged[name] = _over(below[name], value)
        elif name == "volumes" and isinstance(value, list):
            merged[name] = list({mount.split(":")[1]: mount for mount in [*below.get(name, []), *value]}.values())
        else:
            merged[name] = value
    return merged


# --- the chart


def values_of(name: str) -> Document:
    """One of the sets in `ci/`."""
    values: Document = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return values


def render(values: Mapping[str, Any], *, release: str = "riverrun", namespace: str = "streaming") -> list[Document]:
    """All documents of the chart; HelmError where Helm refuses."""
    helm = pytest.importorskip("helm_python", reason="Helm is not here: make manifests")
    with helm.Chart.load(str(CHART)) as chart:
        rendered = chart.render(dict(values), name=release, namespace=namespace)
    texts = [text for path, text in sorted(rendered.items()) if not path.endswith(".txt")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def one(documents: list[Document], kind: str, name: str | None = None) -> Document:
    """The only one of its kind, or of its kind and name."""
    found = [item for item in documents if item["kind"] == kind and (name is None or item["metadata"]["name"] == name)]
    assert 1 == len(found), f"{len(found)} of {kind} {name or ''}"
    return found[0]


def pod_environment(container: Document, fields: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """As the kubelet makes it: fields of the pod, keys of secrets, and `$(NAME)` of what came before."""
    made: dict[str, str] = {}
    for item in container["env"]:
        source = item.get("valueFrom", {})
        if "fieldRef" in source:
            value = fields[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            value = secrets[source["secretKeyRef"]["key"]]
        else:
            value = item["value"]
            for name, known in made.items():
                value = value.replace(f"$({name})", known)
        made[item["name"]] = value
    return made


# --- systemd


def read_unit() -> dict[str, dict[str, str]]:
    """Sections with their settings."""
    sections: dict[str, dict[str, str]] = {}
    for line in (DEPLOY / "systemd" / "riverrun.service").read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert name not in section, f"{name} is said twice"
            section[name] = value
    return sections


def read_environment_file(text: str) -> dict[str, str]:
    """As systemd reads it, of what we use there."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


# --- the dashboard


def read_dashboard() -> Document:
    """As Grafana imports it."""
    dashboard: Document = json.loads((DEPLOY / "grafana" / "riverrun.json").read_text())
    return dashboard


def expressions(dashboard: Document) -> Iterator[tuple[str, str]]:
    """Title of the panel, and what it asks Prometheus."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
