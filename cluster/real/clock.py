"""The machine's clocks and its randomness."""

import random
import time


class RealClock:
    """See World."""

    def monotonic_s(self) -> float:
        """See World."""
        return time.monotonic()  # noqa: TID251  the one place

    def wall_ns(self) -> int:
        """See World."""
        return time.time_ns()


def real_random() -> random.Random:
    """Seeded by the system."""
    return random.SystemRandom()
