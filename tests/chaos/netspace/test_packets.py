"""A flipped bit that no checksum on the way tells: what is flipped, and what is left as it was."""

import random
import struct

import pytest

from chaos.arenas.processes.netspace.packets import flip_bit, host_of

UDP = 17


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet(payload: bytes, *, protocol: int = 6, options: bytes = b"", fragment: int = 0) -> bytes:
    """IPv4 and TCP, with options of TCP, as a kernel makes it."""
    size = 40 + len(options) + len(payload)
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, size, 1, fragment, 64, protocol, 0, bytes((10, 1, 2, 3)), bytes((10, 1, 2, 4))
    )
    tcp = (
        struct.pack("!HHIIBBHHH", 7171, 40000, 1, 2, (20 + len(options)) // 4 << 4, 0x18, 500, 0, 0) + options + payload
    )
    pseudo = ip[12:20] + struct.pack("!BBH", 0, protocol, len(tcp))
    return ip + tcp[:16] + struct.pack("!H", _checksum(pseudo + tcp)) + tcp[18:]


def _is_right(packet: bytes) -> bool:
    pseudo = packet[12:20] + struct.pack("!BBH", 0, packet[9], len(packet) - 20)
    return _checksum(pseudo + packet[20:]) in {0, 0xFFFF}


@pytest.mark.parametrize("options", [b"", bytes(12)])
@pytest.mark.parametrize("size", [1, 2, 17, 1000, 1348])
def test_one_bit_of_the_payload_differs_and_the_checksum_is_right(size: int, options: bytes) -> None:
    """At odd and even places, whatever the rest is."""
    chance = random.Random(size)
    for _ in range(200):
        packet = _packet(chance.randbytes(size), options=options)
        flipped = flip_bit(packet, chance)
        assert flipped is not None
        assert _is_right(packet)
        assert _is_right(flipped)
        start = 40 + len(options)
        assert 1 == (int.from_bytes(packet[start:], "big") ^ int.from_bytes(flipped[start:], "big")).bit_count()
        assert packet[:36] == flipped[:36]
        assert packet[38:start] == flipped[38:start]


def test_what_carries_nothing_is_left_alone() -> None:
    """Bare acknowledgements, what is not TCP, pieces of a packet, what is cut short, and what is no IPv4."""
    chance = random.Random(1)
    others = (
        _packet(b""),
        _packet(b"payload", protocol=UDP),
        _packet(b"payload", fragment=0x2000),
        _packet(b"payload", fragment=0x0010),
        _packet(b"payload")[:30],
        b"\x60" + bytes(60),
        b"",
    )
    assert {None} == {flip_bit(packet, chance) for packet in others}


def test_a_packet_goes_to_the_host_that_it_names() -> None:
    """The last byte of an IPv4 address."""
    assert 4 == host_of(_packet(b"x"))
    assert host_of(b"\x60" + bytes(60)) is None
    assert host_of(b"\x45") is None
