"""What a user writes of a Redis as a destination. Needs no library.

to = { kind = "redis", url = "redis://cache:6379/0", mode = "set", key = "price:{sku}", ttl = "1d" }
to = { kind = "redis", url = "redis://cache:6379/0", mode = "stream", key = "orders", length_max = 1_000_000 }
"""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from cluster.connectors.contract import Guarantee, Sink
from cluster.connectors.durations import check_duration
from cluster.connectors.templates import Template
from cluster.errors import InvalidRoute

PORT = 6379
TTL_S_MAX = 100 * 365 * 86400.0
TIMEOUT_S_MAX = 300.0
BATCH_RECORDS_MAX = 500
_SCHEMES = ("redis", "rediss", "unix")
_LATER = re.compile(r"\$\{[^}]*\}")


class RedisSink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="redis"):
    """Plain data is written as JSON, bytes as they are."""

    url: str = f"redis://localhost:{PORT}/0"
    """`redis://host:port/database`, `rediss://` for TLS, `unix:///path?db=0`; `user:password@` in front of the host."""
    user: str = ""
    password: str = ""
    """Of the URL's, if not written there."""
    ca: str = ""
    """Path of a PEM file, for TLS; "": the machine's own."""
    mode: Literal["set", "hash", "list", "stream"] = "set"
    """`set`: a value for each key. `hash`: its fields are those of the record. `list`, `stream`: appended at the end;
    an entry of a stream has the fields `id`, `key` and `value`, a deletion no `value`, and is `null` in a list."""
    key: str = "{key}"
    """With fields of the record: `price:{sku}`; `{key}` is its key."""
    ttl: str = ""
    """Of `set` and `hash`: how long a key stays after it was written; "": for ever."""
    length_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of `list` and `stream`: the oldest beyond so many are removed (of streams in larger pieces); 0: none are."""
    timeout: str = "10s"
    """Of connecting, and of every answer."""

    @property
    def summary(self) -> str:
        """For people, without secrets."""
        return f"redis {self.address}, {self.mode} {self.key}"

    @property
    def address(self) -> str:
        """Host, port and database."""
        try:
            parts = urlsplit(self.url)
            port = parts.port or PORT
        except ValueError:
            return "at an address that is not one"
        if parts.scheme == "unix":
            return parts.path
        if not parts.hostname:
            return self.url if _LATER.fullmatch(self.url) else "at an address that is not one"
        return f"{parts.hostname}:{port}{parts.path.rstrip('/')}"

    def __repr__(self) -> str:
        """Without the password."""
        return f"<{type(self).__name__} {self.address}>"

    @property
    def appends(self) -> bool:
        """Written again a record would be there twice."""
        return self.mode in {"list", "stream"}

    @property
    def guarantee(self) -> Guarantee:
        """As the package says, as far as Redis keeps what it acknowledged."""
        return Guarantee.EXACTLY_ONCE if self.appends else Guarantee.ONCE_BY_KEY

    @property
    def keeps_position(self) -> bool:
        """See SinkOptions: of values and hashes, too, though those may be written again."""
        return True

    @property
    def hold_s(self) -> float:
        """Nothing is held."""
        return 0.0

    @property
    def batch_records_max(self) -> int:
        """Redis does nothing else while it writes a batch: some milliseconds."""
        return BATCH_RECORDS_MAX

    def check(self) -> None:
        """InvalidRoute: they contradict themselves. Asks nobody."""
        if not _LATER.fullmatch(self.url):
            self._check_url()
        template = Template(self.key, "key")
        if not self.key:
            raise InvalidRoute("key is empty: it names the Redis key of a record")
        if self.ttl:
            if self.appends:
                raise InvalidRoute(f"ttl is for set and hash; a {self.mode} is bounded by length_max")
            check_duration(self.ttl, "ttl", least_s=0.001, most_s=TTL_S_MAX)
        if self.length_max and not self.appends:
            raise InvalidRoute(f"length_max is for list and stream, not for {self.mode}")
        if template.fixed and not self.appends and "${" not in self.key:
            raise InvalidRoute(
                f"key is {self.key!r} for every record, so each would replace the one before: name a field"
            )
        check_duration(self.timeout, "timeout", least_s=0.1, most_s=TIMEOUT_S_MAX)

    def _check_url(self) -> None:
        """Without its text in a message: there may be a password in it."""
        wrong = "url is not that of a Redis: write redis://host:6379/0, rediss://… or unix:///path"
        try:
            parts = urlsplit(self.url)
            right = parts.scheme in _SCHEMES and (parts.hostname or parts.scheme == "unix") and (parts.port or PORT)
        except ValueError:
            if "${" in self.url:
                return
            raise InvalidRoute(wrong) from None  # whose text has a part of the url
        if not right:
            raise InvalidRoute(wrong)
        if parts.query and not (parts.scheme == "unix" and re.fullmatch(r"db=\d+", parts.query)):
            raise InvalidRoute("url has something behind '?' that is not for it to say: write options of their own")
        if self.ca and not self.url.startswith("rediss:"):
            raise InvalidRoute("ca is of TLS: write rediss:// in the url")

    def open(self, identity: str) -> Sink:
        """Does not connect yet. Positions are named by lane, so `identity` is not needed."""
        from cluster.connectors.redis.sink import RedisWriter  # noqa: PLC0415  the library is an extra

        del identity
        self.check()  # now with what stood in the place of secrets
        return RedisWriter(self)
