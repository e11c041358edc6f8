"""Alert rules and the dashboard: what promtool says, and that all they ask for is what a node exports."""

import functools
import importlib.util
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.deploy.manifests import CHART, DEPLOY, expressions, read_dashboard, yaml
from tests.servers import require_program

RULES = DEPLOY / "prometheus" / "alerts.yml"
TESTS = DEPLOY / "prometheus" / "alerts_test.yml"
OURS = re.compile(r"\briverrun_\w+")
SUFFIXES = re.compile("_(bucket|sum|count)$")
GRAFANAS = {"$__rate_interval": "5m", "$job": "riverrun", "$node": ".*", "$topic": ".*"}


def _promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(require_program("promtool")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS.parent)


def _rules() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.slow
def test_the_rules_are_rules_and_fire_when_they_have_to():
    """By promtool, on series that are made up."""
    for arguments in (("check", "rules", RULES.name), ("test", "rules", TESTS.name)):
        done = _promtool(*arguments)
        assert 0 == done.returncode, done.stdout + done.stderr


def test_each_alert_is_tested_and_says_what_to_do():
    """A rule that was never seen to fire may never do so."""
    tested = set(re.findall(r'alertname="(\w+)"', TESTS.read_text()))
    for rule in _rules():
        assert rule["alert"] in tested
        assert {"summary", "description"} == set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]


@pytest.mark.slow
def test_the_prometheus_of_compose_takes_its_configuration(tmp_path: Path):
    """The rules are where it looks for them, when they are mounted."""
    text = (DEPLOY / "compose" / "prometheus.yml").read_text()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "riverrun.yml").write_text(RULES.read_text())
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
    done = _promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"{len(_rules())} rules found" in done.stdout + done.stderr


@pytest.mark.slow
def test_each_panel_asks_what_prometheus_understands(tmp_path: Path):
    """Each expression as a rule, with something in the place of Grafana's variables."""
    rules = []
    for title, asked in expressions(read_dashboard()):
        expression = functools.reduce(lambda text, pair: text.replace(*pair), GRAFANAS.items(), asked)
        assert "$" not in expression, title
        rules.append({"record": f"panel:{len(rules)}", "expr": expression})
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = _promtool("check", "rules", str(path))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert len(rules) > 40


def test_the_dashboard_is_whole():
    """Panels have their own ids and places, a unit, a data source that is a variable."""
    dashboard = read_dashboard()
    panels = dashboard["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    taken = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert {"${datasource}"} == {target["datasource"]["uid"] for target in panel["targets"]}, panel["title"]
    variables = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert ["datasource", "job", "node", "topic"] == variables


def test_rules_and_panels_ask_for_what_a_node_exports():
    """By the node's own table; and all of that, but for what only a machine reads, is on the dashboard."""
    if importlib.util.find_spec("cluster.node.metrics") is None:
        pytest.skip("nodes export no metrics yet")
    from cluster.node.metrics.table import METRICS  # noqa: PLC0415

    exported = {metric.name for metric in METRICS}
    shown = _asked(expression for _, expression in expressions(read_dashboard()))
    assert set() == (shown | _asked(rule["expr"] for rule in _rules())) - exported
    unseen = {"riverrun_build_info", "riverrun_ready", "riverrun_topics", "riverrun_replicas"}
    assert set() == exported - shown - unseen - {"riverrun_controller_known"}


def _asked(queries: Iterable[str]) -> set[str]:
    names = {name for query in queries for name in OURS.findall(query)}
    return {SUFFIXES.sub("", name) for name in names}


def test_the_chart_ships_these_very_files():
    """By links, which Helm follows."""
    assert RULES.resolve() == (CHART / "files" / "alerts.yml").resolve()
    assert (DEPLOY / "grafana" / "riverrun.json").resolve() == (CHART / "files" / "riverrun.json").resolve()
