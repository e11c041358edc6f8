"""One IPv4 packet: whom it is for, and a bit of what it carries flipped so that no checksum on the way tells. Pure."""

import random
import struct

TCP = 6
_LENGTH, _FRAGMENT, _TCP_CHECKSUM = slice(2, 4), slice(6, 8), 16
_MORE_FRAGMENTS_OR_OFFSET = 0x3FFF


def host_of(packet: bytes) -> int | None:
    """The last byte of the address that it goes to; None if it is no IPv4 packet."""
    return packet[19] if len(packet) >= 20 and packet[0] >> 4 == 4 else None


def flip_bit(packet: bytes, chance: random.Random) -> bytes | None:
    """The same packet with one bit of its TCP payload flipped and the TCP checksum made right again.

    Such packets come from memory and firmware of what stands between hosts. None if there is no such payload. The
    checksum is corrected by the difference (RFC 1624, equation 3).
    """
    if host_of(packet) is None or packet[9] != TCP:
        return None
    if int.from_bytes(packet[_FRAGMENT], "big") & _MORE_FRAGMENTS_OR_OFFSET:
        return None
    segment = (packet[0] & 15) * 4
    end = min(int.from_bytes(packet[_LENGTH], "big"), len(packet))
    if end < segment + 20:
        return None
    payload = segment + (packet[segment + 12] >> 4) * 4
    if payload >= end:
        return None
    place = chance.randrange(payload, end)
    flipped = bytearray(packet)
    flipped[place] ^= 1 << chance.randrange(8)
    shift = 0 if (place - segment) % 2 else 8  # which half of its 16-bit word
    checksum = segment + _TCP_CHECKSUM
    (said,) = struct.unpack_from("!H", packet, checksum)
    total = (~said & 0xFFFF) + (~(packet[place] << shift) & 0xFFFF) + (flipped[place] << shift)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", flipped, checksum, ~total & 0xFFFF)
    return bytes(flipped)
