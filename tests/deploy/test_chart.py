"""The chart with three sets of values: Helm's lint, Kubernetes' schemas, and how its documents fit together."""

import copy
import json
import re
import tomllib
from typing import Any

import pytest

from tests.deploy.manifests import (
    CHART,
    VALUE_SETS,
    Document,
    one,
    read_dockerfile,
    render,
    values_of,
    yaml,
)

helm = pytest.importorskip("helm_python", reason="Helm is not here: make manifests")
kubernetes = pytest.importorskip("kubernetes_validate", reason="Kubernetes' schemas are not here: make manifests")
pytestmark = pytest.mark.slow
VERSIONS = ("1.30", "1.37")
"""The oldest that the chart is for, and the newest that there are schemas of."""
NOT_KUBERNETES_OWN = "monitoring.coreos.com/v1"
KNOWN_FINDINGS = {"icon is recommended"}


@pytest.fixture(params=VALUE_SETS)
def values(request: pytest.FixtureRequest) -> Document:
    """One of the sets."""
    return values_of(request.param)


def test_helm_lint_finds_nothing(values: Document):
    """Strictly."""
    for version in VERSIONS:
        found = helm.lint(str(CHART), values, strict=True, kube_version=f"v{version}.0", namespace="streaming")
        assert [] == found["errors"]
        assert set() == {message["error"] for message in found["messages"]} - KNOWN_FINDINGS


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_one_of_kubernetes(values: Document, version: str):
    """Strictly: a field that it does not know is a fault."""
    documents = [item for item in render(values) if item["apiVersion"] != NOT_KUBERNETES_OWN]
    assert len(documents) >= 6
    for document in documents:
        kubernetes.validate(document, version, strict=True)
    wrong = copy.deepcopy(one(documents, "StatefulSet"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(Exception, match="readynessProbe"):
        kubernetes.validate(wrong, version, strict=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"replicaCount": 2}, "replicaCount"),
        ({"replicas": 3}, "replicas"),
        ({"tls": {"enabled": True, "existingSecret": ""}}, "tls"),
        ({"persistence": {"size": "much"}}, "size"),
        ({"antiAffinity": "strong"}, "antiAffinity"),
        ({"probes": {"liveness": {"path": "/"}}}, "path"),
        ({"http": {"originsAllowed": ["app.example"]}}, "originsAllowed"),
    ],
)
def test_wrong_values_are_refused_by_their_name(change: Document, says: str):
    """By values.schema.json, before anything is made."""
    with pytest.raises(helm.HelmError, match=says):
        render(change)


def test_every_value_is_documented_and_checked():
    """The schema knows each value of values.yaml and no other, and above each, or its table, stands what it means."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert _places(defaults) == _known(schema) - {"global", "resources.claims"} - {
        f"probes.{probe}.initialDelaySeconds" for probe in defaults["probes"]
    } | {"resources.requests", "resources.limits"}
    assert (CHART / "values.yaml").read_text().count("#") > len(defaults)


def _places(values: Any, inside: str = "") -> set[str]:
    if not isinstance(values, dict) or not values or inside in {"resources.requests.", "resources.limits."}:
        return {inside.rstrip(".")}
    if "grafana_dashboard" in values:
        return {inside.rstrip(".")}
    return {place for name, value in values.items() for place in _places(value, f"{inside}{name}.")}


def _known(schema: Any, inside: str = "") -> set[str]:
    if "properties" not in schema or schema.get("additionalProperties") is not False:
        return (
            {inside.rstrip(".")} if inside else {n for k, v in schema["properties"].items() for n in _known(v, f"{k}.")}
        )
    return {place for name, value in schema["properties"].items() for place in _known(value, f"{inside}{name}.")}


def test_the_pods_run_what_the_image_does(values: Document):
    """The image's entry point with its own arguments, its user, its directories; a root that cannot be written to."""
    pod = one(render(values), "StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    _, image = read_dockerfile()

    assert image.words("CMD") == container["args"]
    assert "command" not in container
    assert image.last("USER") == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert (True, False) == (
        container["securityContext"]["readOnlyRootFilesystem"],
        container["securityContext"]["allowPrivilegeEscalation"],
    )
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert ("/var/lib/riverrun", "/etc/riverrun", "/tmp") == (mounted["data"], mounted["config"], mounted["tmp"])
    assert image.last("EXPOSE").split() == [str(port["containerPort"]) for port in container["ports"]]
    spec = one(render(values), "StatefulSet")["spec"]
    claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())}
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]} | claims


def test_the_documents_name_each_other(values: Document):
    """Services and budgets choose the pods, configurations and accounts are there, ports are those of the pods."""
    documents = render(values)
    stateful = one(documents, "StatefulSet")
    template = stateful["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    headless = one(documents, "Service", stateful["spec"]["serviceName"])

    assert ("None", True) == (headless["spec"]["clusterIP"], headless["spec"]["publishNotReadyAddresses"])
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    for service in (item for item in documents if item["kind"] == "Service"):
        assert service["spec"]["selector"].items() <= labels
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in (item for item in documents if item["kind"] == "PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels
    assert template["spec"]["serviceAccountName"] == one(documents, "ServiceAccount")["metadata"]["name"]
    (config,) = [volume["configMap"]["name"] for volume in template["spec"]["volumes"] if "configMap" in volume]
    assert "node.toml" in one(documents, "ConfigMap", config)["data"]


def test_what_clients_speak_is_told_to_gateways(values: Document):
    """HTTP/2 in clear text, where it is: a gateway that speaks that to TLS gets nowhere."""
    documents = render(values)
    secured = "tls" in tomllib.loads(one(documents, "ConfigMap", "riverrun")["data"]["node.toml"])
    told = [
        port.get("appProtocol")
        for service in documents
        if service["kind"] == "Service"
        for port in service["spec"]["ports"]
        if port["name"] == "client"
    ]
    assert [None if secured else "kubernetes.io/h2c"] * 2 == told


def test_nodes_are_numbered_as_their_pods_are(values: Document):
    """From 1, and each is among the peers under its pod's name."""
    documents = render(values)
    spec = one(documents, "StatefulSet")["spec"]
    config = tomllib.loads(one(documents, "ConfigMap", "riverrun")["data"]["node.toml"])
    first, count = spec["ordinals"]["start"], spec["replicas"]

    assert list(range(first, first + count)) == [peer["node"] for peer in config["peers"]]
    for peer in config["peers"]:
        name = f"riverrun-{peer['node']}.riverrun-nodes.streaming.svc.cluster.local"
        assert (f"{name}:7271", f"{name}:7171") == (peer["peer"], peer["client"])
    fields = [item["valueFrom"]["fieldRef"]["fieldPath"] for item in _environment(spec) if "fieldRef" in str(item)]
    assert "metadata.labels['apps.kubernetes.io/pod-index']" in fields


def _environment(spec: Document) -> list[Document]:
    found: list[Document] = spec["template"]["spec"]["containers"][0]["env"]
    return found


def test_one_node_goes_at_a_time_and_has_time_for_it(values: Document):
    """A budget where there is more than one node; SIGTERM leaves time after the delay."""
    documents = render(values)
    spec = one(documents, "StatefulSet")["spec"]
    budgets = [item["spec"]["maxUnavailable"] for item in documents if item["kind"] == "PodDisruptionBudget"]
    pod = spec["template"]["spec"]
    delay_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert ([1] if spec["replicas"] > 1 else []) == budgets
    assert pod["terminationGracePeriodSeconds"] - delay_s >= 10
    assert "Parallel" == spec["podManagementPolicy"]
    assert {"whenDeleted": "Retain", "whenScaled": "Retain"} == spec["persistentVolumeClaimRetentionPolicy"]


def test_production_is_spread_and_encrypted():
    """Machines of their own, zones, TLS, and whatever watches it."""
    documents = render(values_of("production"))
    stateful = one(documents, "StatefulSet")
    pod = stateful["spec"]["template"]["spec"]
    config = tomllib.loads(one(documents, "ConfigMap", "riverrun")["data"]["node.toml"])

    assert 5 == stateful["spec"]["replicas"]
    assert "requiredDuringSchedulingIgnoredDuringExecution" in pod["affinity"]["podAntiAffinity"]
    assert ["topology.kubernetes.io/zone"] == [item["topologyKey"] for item in pod["topologySpreadConstraints"]]
    assert not config["insecure"]
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}["tls"]
    files = {"cert_file": "tls.crt", "key_file": "tls.key", "ca_file": "ca.crt"}
    assert {name: f"{mounted}/{file}" for name, file in files.items()} | {
        "client": "mutual",
        "http": "tls",
    } == config["tls"]
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    assert {"HTTPS"} == {pod["containers"][0][probe]["httpGet"]["scheme"] for probe in probes}
    assert "local-nvme" == stateful["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"]
    assert 10.0 == config["broker"]["session_grace_s"], "extraConfig is a part of it"
    rules = one(documents, "PrometheusRule")["spec"]["groups"]
    assert yaml.safe_load((CHART / "files" / "alerts.yml").read_text())["groups"] == rules
    dashboard = one(documents, "ConfigMap", "riverrun-dashboard")["data"]["riverrun.json"]
    assert json.loads((CHART / "files" / "riverrun.json").read_text()) == json.loads(dashboard)
    monitored = one(documents, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= one(documents, "Service", "riverrun-nodes")["metadata"]["labels"].items()


def test_probes_ask_what_nodes_answer(values: Document):
    """A restart is for a node that does not move, not for one without a majority."""
    (container,) = one(render(values), "StatefulSet")["spec"]["template"]["spec"]["containers"]
    asked = {name: container[name]["httpGet"]["path"] for name in container if re.search("Probe$", name)}
    assert {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"} == asked
