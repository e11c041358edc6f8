"""Get the servers that tests of connectors talk to, and nft, which cuts networks: `python -m tests.servers.install`.

With names, only those: `… promtool`, which checks alert rules (`make manifests`).

Those that are on this machine are used as they are. Others come as Debian's packages, with what they need and what is
not here, unpacked into `.servers`: nothing is installed, and nothing is started. The S3 server is a module of Go's, and
is built where Go is (a minute of two cores, once); its checksums are Go's own. Apache Kafka comes as jars
(46 MB), where Maven is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tests.servers import JARS, JARS_POM, PROGRAMS, ROOT, find_program

PACKAGES = {
    "postgres": "postgresql",
    "mosquitto": "mosquitto",
    "redis-server": "redis-server",
    "nft": "nftables",
    "promtool": "prometheus",
}
MODULES = {"versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0"}


def main(names: Sequence[str]) -> int:
    """Fetch what is missing; say what is not to be had."""
    missing = [name for name in names or PROGRAMS if find_program(name) is None]
    modules = [name for name in missing if name in MODULES]
    if not names:
        _copy_jars()
    return max(_unpack([name for name in missing if name in PACKAGES]), *map(_build, modules), 0)


def _copy_jars() -> None:
    """Apache Kafka's, all or none."""
    if JARS.exists():
        return
    if shutil.which("mvn") is None:
        print("not here, and Maven is not here to fetch it: Apache Kafka", file=sys.stderr)
        return
    print("fetching Apache Kafka into .servers …", flush=True)
    ROOT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}/kafka"]
        command = ["mvn", "--quiet", "--batch-mode", "-f", str(JARS_POM), *goal]
        fetched = subprocess.run(command, check=False, capture_output=True, text=True)
        if fetched.returncode:
            print(f"Apache Kafka cannot be fetched: {fetched.stdout[-2000:]}", file=sys.stderr)
            return
        shutil.move(f"{folder}/kafka", JARS)


def _build(name: str) -> int:
    if shutil.which("go") is None:
        print(f"not here, and Go is not here to build it: {name}", file=sys.stderr)
        return 0
    print(f"building {name} into .servers …", flush=True)
    (ROOT / "bin").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        command = ["go", "install", "-ldflags=-s -w", MODULES[name]]
        built = subprocess.run(
            command, check=False, env={**os.environ, "GOBIN": folder}, capture_output=True, text=True
        )
        if built.returncode:
            print(f"{name} cannot be built: {built.stderr[-2000:]}", file=sys.stderr)
            return 0
        shutil.move(f"{folder}/{name}", ROOT / "bin" / name)
    return 0


def _unpack(missing: list[str]) -> int:
    if not missing:
        return 0
    if shutil.which("apt-get") is None:
        print(f"not here, and to be installed by hand for all tests to run: {', '.join(missing)}", file=sys.stderr)
        return 0
    archives = ROOT / "debs"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    packages = [PACKAGES[name] for name in missing]
    print(f"fetching {', '.join(packages)} into .servers …", flush=True)
    if os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False, stdout=subprocess.DEVNULL)
    options = ["-qq", "-y", "--no-install-recommends", "--download-only", "-o", "Debug::NoLocking=1"]
    where = ["-o", f"Dir::Cache::archives={archives}"]
    fetched = subprocess.run(["apt-get", "install", *options, *where, *packages], check=False)
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(archive), str(ROOT)], check=True)
    shutil.rmtree(archives)
    still = [name for name in missing if find_program(name) is None]
    if still:
        print(f"not to be had: {', '.join(still)}", file=sys.stderr)
    return fetched.returncode or len(still)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
