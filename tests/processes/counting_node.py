"""A node that counts its syncs into the shared file that COUNT_SYNCS names: otherwise `riverrun node`, unchanged."""

import mmap
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

from cluster.cli import main
from cluster.real import disk

COUNTER = struct.Struct("<Q")


def counting(call: Callable[..., Any], shared: mmap.mmap) -> Callable[..., Any]:
    """The call, counted when it has returned."""

    def counted(*arguments: Any) -> Any:
        result = call(*arguments)
        COUNTER.pack_into(shared, 0, COUNTER.unpack_from(shared)[0] + 1)
        return result

    return counted


def install(path: str) -> None:
    """Count fdatasync and syncfs: the writer's thread is the only one that calls them for records."""
    descriptor = os.open(path, os.O_RDWR)
    shared = mmap.mmap(descriptor, COUNTER.size)
    os.fdatasync = counting(os.fdatasync, shared)
    disk._SYNCFS = counting(disk._SYNCFS, shared) if disk._SYNCFS else None


if __name__ == "__main__":
    install(os.environ["COUNT_SYNCS"] + sys.argv[sys.argv.index("--config") + 1].replace("/", "_"))
    main()
