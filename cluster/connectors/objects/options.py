"""What a user writes of files as a destination, and of files as a source. Pure.

```toml
{ kind = "files", url = "s3://lake/sales", format = "parquet", roll = "5m", folder = "{date}/" }
{ kind = "objects", url = "file:///srv/deliveries", names = "*.csv" }
```
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from cluster.connectors.contract import Guarantee
from cluster.connectors.durations import check_duration, duration_s
from cluster.connectors.objects.store import location, open_store
from cluster.errors import InvalidRoute

if TYPE_CHECKING:
    from cluster.connectors.objects.sink import Pieces
    from cluster.connectors.objects.source import Objects

MIB = 1024 * 1024
ROLL_BYTES_MAX = 1024 * MIB
DATE = "{date}"
SinkFormat = Literal["jsonl", "csv", "text", "parquet"]


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A directory, or a bucket and how to get there."""

    url: str
    """`file:///directory` or `s3://bucket/prefix`."""
    endpoint: str = ""
    """Of a server that is not Amazon's: `https://host:port`. It has to know conditional puts (If-None-Match)."""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    timeout: str = "15s"
    """Of one call: of putting a whole file, too."""

    @property
    def where(self) -> str:
        """For people, without secrets."""
        return self.url if "@" not in self.url else self.url.partition("://")[0]

    def check_place(self) -> None:
        """InvalidRoute."""
        if "${" not in self.url:
            location(self.url)
        if self.endpoint and not self.endpoint.startswith(("http://", "https://", "${")):
            raise InvalidRoute("endpoint has to begin with http:// or https://")
        if "@" in self.endpoint:
            raise InvalidRoute("endpoint has a user in it; keys are written in access_key and secret_key")
        if bool(self.access_key) != bool(self.secret_key):
            raise InvalidRoute("access_key and secret_key are written both, or neither")
        check_duration(self.timeout, "timeout", least_s=0.1, most_s=600)


class FilesSink(Place, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="files"):
    """Files of records in a directory or bucket: each appears whole, is never changed, and each record is in one.

    A file holds a piece of a lane, and is named after it: `part-<lane>-<begin>.<format>`. The folder `_riverrun` beside
    is what this promise rests on, and is to be left alone; files may be taken away when they are an hour old. A record
    is in one file as long as what the route makes of it depends on that record alone.
    """

    format: SinkFormat = "jsonl"
    """csv and parquet have the columns that the records of a file have; text wants text or bytes, without line ends."""
    folder: str = ""
    """Where below the url; with `{date}` one folder for each day of the records' times (UTC): `day={date}/`."""
    roll_bytes: int = 16 * MIB
    roll_records: int = 1_000_000
    roll: str = "1m"
    """A file is ended when one of these is reached; the size is that before compression, and held in memory."""
    memory_bytes_max: int = 256 * MIB
    """Of all lanes: the largest is ended early beyond it."""

    @property
    def summary(self) -> str:
        """See SinkOptions."""
        return f"files {self.where} ({self.format})"

    @property
    def guarantee(self) -> Guarantee:
        """See `pieces`."""
        return Guarantee.EXACTLY_ONCE

    @property
    def hold_s(self) -> float:
        """How long a file is filled."""
        return duration_s(self.roll, "roll")

    @property
    def batch_records_max(self) -> int:
        """They are held anyway."""
        return 10_000

    def check(self) -> None:
        """See SinkOptions."""
        self.check_place()
        check_duration(self.roll, "roll", least_s=0.1, most_s=86400)
        if not 1 <= self.roll_bytes <= ROLL_BYTES_MAX:
            raise InvalidRoute(f"roll_bytes is {self.roll_bytes}; it must be from 1 to {ROLL_BYTES_MAX}")
        if self.roll_records < 1 or self.memory_bytes_max < 1:
            raise InvalidRoute("roll_records and memory_bytes_max must be above 0")
        fixed = self.folder.replace(DATE, "")
        if "{" in fixed or "}" in fixed:
            raise InvalidRoute(f"folder is {self.folder!r}; only {DATE} can stand for something in it")
        if self.folder and (not self.folder.endswith("/") or self.folder.startswith(("/", "_riverrun"))):
            raise InvalidRoute(f"folder is {self.folder!r}; it has to end with a slash, and not to begin with one")
        if any(part in {"", ".", ".."} for part in self.folder.split("/")[:-1]):
            raise InvalidRoute(f"folder is {self.folder!r}; it may not lead out of the url")

    def open(self, identity: str) -> "Pieces":
        """See SinkOptions; lanes have names of their own."""
        from cluster.connectors.objects.sink import Pieces  # noqa: PLC0415  only when it is used

        del identity
        self.check()
        return Pieces(self, open_store(self))


class ObjectsSource(Place, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="objects"):
    """The records of whole files in a directory or bucket, in the order of their names; new files are taken up.

    Files have to appear whole (renamed into place) and may be taken away when they were read; one that is replaced is
    not read again, and one that is replaced or taken away while it is read stops the route.
    """

    names: str = "*"
    """A pattern of names below the url; `*` stands for slashes as well. `_` and `.` before a part hide a file."""
    format: Literal["auto", "jsonl", "json", "csv", "text", "parquet"] = "auto"
    """auto: by the end of the name (.jsonl, .ndjson, .json, .csv, .txt, .log, .parquet)."""
    delimiter: str = ","
    look: str = "10s"
    """How often files are listed."""
    follow: bool = True
    """False: the source ends when all that is there was read."""
    rising: bool = False
    """New files always have names behind those that were read: then only the last name is remembered."""
    line_bytes_max: int = 256 * 1024
    json_bytes_max: int = 64 * MIB
    """A file that is one JSON value is read at once."""

    @property
    def summary(self) -> str:
        """See SourceOptions."""
        return f"objects {self.where}, {self.names}"

    @property
    def guarantee(self) -> Guarantee:
        """As long as files are not changed."""
        return Guarantee.EXACTLY_ONCE

    def check(self) -> None:
        """See SourceOptions."""
        self.check_place()
        if not self.names:
            raise InvalidRoute('names is empty; "*" is all')
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise InvalidRoute(f"delimiter is {self.delimiter!r}; it has to be one character, and no quote")
        if not 1 <= self.line_bytes_max <= MIB:
            raise InvalidRoute(f"line_bytes_max is {self.line_bytes_max}; it must be from 1 to {MIB}")
        if not 1 <= self.json_bytes_max <= ROLL_BYTES_MAX:
            raise InvalidRoute(f"json_bytes_max is {self.json_bytes_max}; it must be from 1 to {ROLL_BYTES_MAX}")
        check_duration(self.look, "look", least_s=0.01, most_s=86400)

    def shares(self) -> Sequence[str]:
        """One."""
        return [""]

    def open(self, share: str, identity: str) -> "Objects":
        """See SourceOptions."""
        from cluster.connectors.objects.source import Objects  # noqa: PLC0415  only when it is used

        del share, identity
        self.check()
        return Objects(self, open_store(self))
