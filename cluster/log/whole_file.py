"""A small file, replaced as a whole: the old content or the new one is there, whatever happens, and is checked."""

import struct

import google_crc32c

from cluster.errors import CorruptStorage
from cluster.world import Disk

_CRC = struct.Struct("<I")
NEW = ".new"


def write_whole(disk: Disk, path: str, content: bytes) -> None:
    """Replace the file; on disk when this returns. OSError as the disk says."""
    file = disk.open(path + NEW, create=True)
    try:
        file.truncate(0)
        file.write(0, [_CRC.pack(google_crc32c.value(content)), content])
        file.sync()
    finally:
        file.close()
    disk.rename(path + NEW, path)
    disk.sync_directory(path.rpartition("/")[0] or ".")


def read_whole(disk: Disk, path: str) -> bytes | None:
    """The content; None if there is no such file. CorruptStorage if it is damaged."""
    directory, _, name = path.rpartition("/")
    if name not in disk.list(directory or "."):
        return None
    file = disk.open(path)
    try:
        data = file.read(0, file.size())
    finally:
        file.close()
    content = data[_CRC.size :]
    if len(data) < _CRC.size or _CRC.unpack_from(data)[0] != google_crc32c.value(content):
        raise CorruptStorage(f"the file {path} is damaged")
    return bytes(content)
