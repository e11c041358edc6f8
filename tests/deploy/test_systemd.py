"""The systemd unit: what systemd says of it, and that it agrees with the image."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import DEPLOY, read_dockerfile, read_environment_file, read_unit

EXPOSURE_MAX = 20
"""In tenths, as `systemd-analyze security` counts; 10.0 is a unit without any restriction."""


def _analyze() -> str:
    """The tool's path; it is a part of systemd, which not every machine has, and cannot be had without it."""
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is missing: the unit is not verified here")
    return found


def _verified(tmp_path: Path, text: str) -> "subprocess.CompletedProcess[str]":
    """The program is not on this machine, and would be complained about: another one takes its place."""
    unit = tmp_path / "riverrun.service"
    unit.write_text(text.replace("/opt/riverrun/bin/riverrun", "/bin/true"))
    command = [_analyze(), "verify", "--man=no", str(unit)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_systemd_finds_nothing(tmp_path: Path):
    """And it would."""
    text = (DEPLOY / "systemd" / "riverrun.service").read_text()
    good, bad = _verified(tmp_path, text), _verified(tmp_path, text.replace("KillMode", "KillMood"))

    assert (0, "") == (good.returncode, good.stdout + good.stderr)
    assert "Unknown key" in bad.stderr


@pytest.mark.slow
def test_little_is_left_to_whoever_breaks_in(tmp_path: Path):
    """By systemd's own count."""
    unit = tmp_path / "riverrun.service"
    unit.write_text((DEPLOY / "systemd" / "riverrun.service").read_text())
    security = [_analyze(), "security", "--offline=true", "--no-pager"]
    done = subprocess.run(
        [*security, f"--threshold={EXPOSURE_MAX}", str(unit)], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout[-2000:]


def test_the_unit_and_the_image_run_the_same():
    """The same command, data where the image has it, and only the signal that means a clean end."""
    service = read_unit()["Service"]
    _, image = read_dockerfile()
    program, *arguments = service["ExecStart"].split()

    assert f"/opt/riverrun/bin/{image.words('ENTRYPOINT')[0]}" == program
    assert image.words("CMD") == arguments
    assert f"RIVERRUN_DATA_DIR={image.environment()['RIVERRUN_DATA_DIR']}" in service["Environment"].split()
    assert (image.last("STOPSIGNAL"), "mixed") == (service["KillSignal"], service["KillMode"])


def test_the_environment_file_says_what_differs():
    """And leaves to fill in what is minted."""
    told = read_environment_file((DEPLOY / "systemd" / "environment").read_text())
    assert ("1", "") == (told["RIVERRUN_NODE"], told["RIVERRUN_CLUSTER_ID"])
