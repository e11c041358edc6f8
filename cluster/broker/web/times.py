"""Points in time as text: RFC 3339 with up to nine digits of a second, to and from nanoseconds since 1970. Pure.

A number of nanoseconds is beyond what JavaScript's numbers hold exactly; so JSON has times as text.
"""

import datetime as dt
import re

from cluster.errors import InvalidRequest

FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SECOND_NS = 1_000_000_000
RANGE_NS = 1 << 63


def parse_time(text: str, what: str = "the time") -> int:
    """Nanoseconds since 1970; InvalidRequest, naming `what`, if the text is no RFC 3339 time between 1678 and 2262."""
    matched = FORM.fullmatch(text)
    if matched is None:
        raise InvalidRequest(f"{what} {text[:64]!r} is not RFC 3339, such as 2026-01-31T08:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in matched.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = matched.groups()[6:]
    try:
        leap = second == 60  # the last of a minute, as the second after it
        moment = dt.datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=dt.UTC)
        if int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
            raise ValueError  # noqa: TRY301  said below, like the others
    except ValueError:
        raise InvalidRequest(f"{what} {text!r} is no time that there is") from None
    since = moment - EPOCH
    seconds = since.days * 86_400 + since.seconds + leap
    shift = (int(offset_hours or 0) * 60 + int(offset_minutes or 0)) * 60
    seconds += shift if sign == "-" else -shift
    time_ns = seconds * SECOND_NS + int((fraction or "").ljust(9, "0"))
    if not -RANGE_NS <= time_ns < RANGE_NS:
        raise InvalidRequest(f"{what} {text!r} is not between the years 1678 and 2262")
    return time_ns


def time_text(time_ns: int) -> str:
    """RFC 3339 in UTC, with as many digits (0, 3, 6 or 9) as say all of it."""
    seconds, fraction_ns = divmod(time_ns, SECOND_NS)
    text = (EPOCH + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if not fraction_ns:
        return text + "Z"
    digits = f"{fraction_ns:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"
