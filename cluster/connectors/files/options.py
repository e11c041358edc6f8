"""What a user writes of a source of growing files. Pure.

```toml
{ kind = "files", path = "/var/log/shop/*.jsonl", format = "json" }
```
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from cluster.connectors.contract import Guarantee
from cluster.connectors.durations import check_duration
from cluster.connectors.lines import Format
from cluster.errors import InvalidRoute

if TYPE_CHECKING:
    from cluster.connectors.files.tail import Tail

LINE_BYTES_MAX = 1024 * 1024
FILES_MAX = 1024


class FileTail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="files"):
    """Lines of one file, or of all that a pattern matches, as they are written.

    Order is kept within a file, and a file that was renamed is read to its end before the one that took its name.
    **Rotation**: a file is known by device, inode and some of its bytes, so it may be renamed at any time, and is read
    on as long as it is there. Where riverrun may be away for several rotations the pattern has to match the renamed
    files as well (`app.log*`); a name that ends in `.gz` is passed over. **Truncation** (copytruncate): read from the
    start again; what was written between the last look and the truncation is gone, and the pattern must not match the
    copies. Each line is captured once as long as files only grow, or are renamed, or deleted when they were read.
    """

    path: str
    """A file, or a pattern with `*`, `?`, `[…]` and `**`."""
    format: Format = "text"
    """text: bytes as they are. json: a value a line. csv: the first line of a file names the fields, which are text."""
    delimiter: str = ","
    begin: Literal["start", "end"] = "start"
    """Where files are begun that are there when the route is new; later ones always from their start."""
    follow: bool = True
    """False: the source ends when all that is there was read."""
    poll: str = "200ms"
    line_bytes_max: int = 256 * 1024
    """What is longer is cut there, and handed over as undecoded."""
    files_max: int = 256
    """All of them are kept open."""

    @property
    def summary(self) -> str:
        """See SourceOptions."""
        return f"files {self.path} ({self.format})"

    @property
    def guarantee(self) -> Guarantee:
        """As long as files only grow."""
        return Guarantee.EXACTLY_ONCE

    def check(self) -> None:
        """See SourceOptions."""
        if not self.path:
            raise InvalidRoute("path is empty; it has to name a file or a pattern")
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise InvalidRoute(f"delimiter is {self.delimiter!r}; it has to be one character, and no quote")
        if not 1 <= self.line_bytes_max <= LINE_BYTES_MAX:
            raise InvalidRoute(f"line_bytes_max is {self.line_bytes_max}; it must be from 1 to {LINE_BYTES_MAX}")
        if not 1 <= self.files_max <= FILES_MAX:
            raise InvalidRoute(f"files_max is {self.files_max}; it must be from 1 to {FILES_MAX}")
        check_duration(self.poll, "poll", least_s=0.01, most_s=3600)

    def shares(self) -> Sequence[str]:
        """One."""
        return [""]

    def open(self, share: str, identity: str) -> "Tail":
        """See SourceOptions."""
        from cluster.connectors.files.tail import Tail  # noqa: PLC0415  only when it is used

        del share, identity
        self.check()
        return Tail(self)
