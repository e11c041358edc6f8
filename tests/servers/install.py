"""Get the servers that tests of connectors talk to: `python -m tests.servers.install`.

Those that are on this machine are used as they are. Others come as Debian's packages, with what they need and what is
not here, unpacked into `.servers`: nothing is installed, and nothing is started.
"""

import os
import shutil
import subprocess
import sys

from tests.servers import PROGRAMS, ROOT, find_program

PACKAGES = {"postgres": "postgresql", "mosquitto": "mosquitto", "redis-server": "redis-server"}


def main() -> int:
    """Fetch what is missing; say what is not to be had."""
    missing = [name for name in PROGRAMS if find_program(name) is None]
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
    sys.exit(main())
