"""Regenerate `cluster/wire/pb` from the .proto files; with `--check`, only say whether it is current (exit code 1).

protoc's Python output imports by proto path (`from riverrun.v1 import …`) and always will (protobuf issue 1491), so
the import lines are rewritten to the package that ships. Imports of google's own protos stay as they are.
"""

import importlib.resources
import re
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
PACKAGE = "cluster.wire.pb"
OUT = ROOT / "cluster" / "wire" / "pb"


def generate(out: Path) -> None:
    """Write the generated modules and stubs of every .proto file below `proto/` to `out`."""
    google = importlib.resources.files("grpc_tools") / "_proto"
    files = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'proto'}",
            f"-I{google}",
            f"--python_out={out}",
            f"--mypy_out=readable_stubs:{out}",
            *files,
        ]
    )
    if code:
        raise SystemExit(code)
    for path in [*out.rglob("*.py"), *out.rglob("*.pyi")]:
        path.write_text(rewritten(path.read_text(), stub=path.suffix == ".pyi"))
    for folder in [out, *(path for path in out.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text("")


def rewritten(text: str, *, stub: bool) -> str:
    """The module's text with imports (and, so that messages can be pickled, the module name) under PACKAGE."""
    text = re.sub(r"^(\s*)(from|import) riverrun\b", rf"\1\2 {PACKAGE}.riverrun", text, flags=re.MULTILINE)
    text = text.replace(
        "BuildTopDescriptorsAndMessages(DESCRIPTOR, 'riverrun.",
        f"BuildTopDescriptorsAndMessages(DESCRIPTOR, '{PACKAGE}.riverrun.",
    )
    if stub:
        text = re.sub(r"(?<![\w.\"'/])riverrun((?:\.\w+)+_pb2)", rf"{PACKAGE}.riverrun\1", text)
    return text


def modules(folder: Path) -> dict[str, bytes]:
    """Every generated file below `folder`, by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.py*")
        if "__pycache__" not in path.parts
    }


def main() -> None:
    """Generate, or check."""
    if "--check" in sys.argv:
        with tempfile.TemporaryDirectory() as scratch:
            generate(Path(scratch))
            if modules(Path(scratch)) != modules(OUT):
                sys.exit("cluster/wire/pb is not current: run `make proto`")
        return
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    generate(OUT)


if __name__ == "__main__":
    main()
