"""The Dockerfile: what hadolint says, what the image promises, and that the builder is sent nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import require_tool
from tests.deploy.manifests import DEPLOY, ROOT, health_line, read_dockerfile


@pytest.mark.slow
def test_hadolint_finds_nothing():
    """Not even something to know."""
    done = subprocess.run(
        [require_tool(str(Path(sys.executable).with_name("hadolint"))), "--no-color", str(DEPLOY / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_the_image_runs_as_nobody_and_is_told_how_it_is():
    """A number, which Kubernetes can check; no shell in what runs and what checks."""
    _, image = read_dockerfile()

    assert "10001:10001" == image.last("USER")
    assert ["riverrun"] == image.words("ENTRYPOINT")
    assert ["node", "--config", "/etc/riverrun/node.toml"] == image.words("CMD")
    assert ["riverrun", "health", "--config", "/etc/riverrun/node.toml"] == health_line(image)
    assert image.environment()["RIVERRUN_DATA_DIR"].startswith("/var/lib/riverrun/")
    assert '["/var/lib/riverrun"]' == image.last("VOLUME")
    assert "7171 7271 7371" == image.last("EXPOSE")


def test_what_is_copied_is_what_the_builder_is_sent():
    """And it is there."""
    build, _ = read_dockerfile()
    copied = [word for value in build.values("COPY") for word in value.split()[:-1]]
    sent = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]

    assert sorted(sent) == sorted(copied)
    assert [] == [name for name in copied if not (ROOT / name).exists()]


def test_everything_that_is_installed_has_its_hash():
    """From files with hashes of all of it; nothing is looked up."""
    build, _ = read_dockerfile()
    installs = [line.strip() for run in build.values("RUN") for line in run.split("&&") if " pip " in line]
    assert 4 == len(installs)
    for line in installs:
        assert "--require-hashes" in line or "--no-index" in line or line.endswith("/opt/wheels ."), line


def test_the_image_has_the_versions_that_are_tested():
    """Its requirements, of what both have, are those of the development environment."""
    tested = _versions("requirements-dev.txt")
    for name, version in _versions("requirements-image.txt").items():
        assert version == tested.get(name, version), name


def _versions(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if "==" in line and not line.startswith(" ")]
    return {line.split("==")[0]: line.split("==")[1].split()[0] for line in lines}
