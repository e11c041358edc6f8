"""A disk that has lost everything."""

import shutil
from pathlib import Path


def empty(directory: Path) -> None:
    """All that is in it is gone; not itself: it may be a mount. Blocks."""
    for path in directory.iterdir() if directory.exists() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
