"""The checksum over a whole message between nodes, and why it has to be there.

TCP's 16 bits do not tell every damage, and what lies between hosts (memory, firmware) may flip a bit and compute them
anew. A batch has its own CRC32C; terms, indexes, votes, acknowledgements and control entries have nothing. One bit in
a term ends a replica by an assertion; one in an acknowledgement counts a copy that is on no disk.

The checksum is the last field of an `ExchangeRequest`: CRC32C over everything before its four bytes, its own tag
included. A node that does not know it passes over it, as over any field that it does not know (protocol 1); from
protocol 2 on it must be there.
"""

import google_crc32c

CHECKED_PROTOCOL = 2
"""From this version on every message on a stream between nodes has a checksum."""
_TAG = bytes([6 << 3 | 5])
"""Field 6, 32 bits fixed: `ExchangeRequest.checksum`."""
_RESIDUE = 0x48674BC7
"""The CRC32C of anything that ends with its own CRC32C, whatever it is: nothing has to be cut off to compare."""


def sealed(message: bytes) -> bytes:
    """The encoded message with its checksum."""
    checksum = google_crc32c.extend(google_crc32c.value(message), _TAG)
    return b"".join((message, _TAG, checksum.to_bytes(4, "little")))


def is_whole(message: bytes) -> bool:
    """Whether it ends with a checksum, and not a bit of it is another than when it was sealed."""
    return message[-5:-4] == _TAG and google_crc32c.value(message) == _RESIDUE
