"""Topics, filters and ids of clients, as MQTT 5 has them (§4.7, §4.8.2, §3.1.3.1). Pure."""

import re
from hashlib import sha256

from cluster.errors import InvalidRoute

BYTES_MAX = 65535
_CLIENT_NAME_MAX = 40
_LEVEL = re.compile(r"level:([1-9]\d?)")
FIELD_FORBIDDEN = b"+#/\x00"
"""What a field must not have that becomes part of a topic: it would add a level, or be no topic at all."""


def check_filter(written: str) -> None:
    """InvalidRoute if no broker takes it as a filter."""
    _check(written, "the filter")
    if written.startswith("$share/"):
        raise InvalidRoute(f"the filter {written!r} is of a shared subscription; write `group` and `readers` instead")
    levels = written.split("/")
    for number, level in enumerate(levels, 1):
        if "#" in level and (level != "#" or number < len(levels)):
            raise InvalidRoute(f"the filter {written!r}: '#' may only be its whole last level")
        if "+" in level and level != "+":
            raise InvalidRoute(f"the filter {written!r}: '+' may only be a whole level")


def check_topic(written: str) -> None:
    """InvalidRoute if nothing can be published there."""
    _check(written, "the topic")
    if "+" in written or "#" in written:
        raise InvalidRoute(f"the topic {written!r} has a wildcard: nothing can be published to it")
    if written.startswith("$") and not written.startswith("${"):
        raise InvalidRoute(f"the topic {written!r} is the broker's own: those begin with '$'")


def _check(written: str, what: str) -> None:
    if not written:
        raise InvalidRoute(f"{what} is empty")
    if "\x00" in written or len(written.encode(errors="surrogatepass")) > BYTES_MAX:
        raise InvalidRoute(f"{what} {written[:40]!r} is longer than {BYTES_MAX:,} bytes or has a zero in it")


def key_level(written: str) -> int:
    """0: the whole topic is the key; else the number of the level that is, from 1. InvalidRoute."""
    if written == "topic":
        return 0
    found = _LEVEL.fullmatch(written)
    if found is None:
        raise InvalidRoute(f'key is {written!r}; it is "topic", or "level:2" for the second level of it')
    return int(found.group(1))


def key_of(topic: str, level: int) -> bytes:
    """The level of the topic, or all of it where it has not so many.

    >>> key_of("site/pump-3/temperature", 2)
    b'pump-3'
    """
    levels = topic.split("/")
    return (levels[level - 1] if 0 < level <= len(levels) else topic).encode()


def plain_name(identity: str) -> str:
    """An identity as part of a client's id, or a group: letters, digits, '-' and '_'; never the same for two."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", identity)[:_CLIENT_NAME_MAX]
    return plain if plain == identity else f"{plain}-{sha256(identity.encode()).hexdigest()[:8]}"
