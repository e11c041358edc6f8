"""A file's name is durable only when its directory is: syncing that."""

import os
from pathlib import Path


def sync_directory_of(path: str) -> None:
    """Make durable that the file is there."""
    directory = os.open(Path(path).parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
