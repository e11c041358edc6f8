"""A node whose wall clock is set by signals, an hour ahead or back: otherwise `riverrun node`, unchanged."""

import signal

from cluster.cli import main
from cluster.real.clock import RealClock

AHEAD, BACK = signal.SIGUSR1, signal.SIGUSR2
JUMP_NS = 3_600_000_000_000


def install() -> None:
    """The machine's clock is everybody's, so only what this process is told of it jumps."""
    offset_ns = 0
    true_wall_ns = RealClock.wall_ns

    def jump(number: int, _: object) -> None:
        nonlocal offset_ns
        offset_ns += JUMP_NS if number == AHEAD else -JUMP_NS

    for number in (AHEAD, BACK):
        signal.signal(number, jump)
    RealClock.wall_ns = lambda clock: true_wall_ns(clock) + offset_ns  # type: ignore[method-assign]


if __name__ == "__main__":
    install()
    main()
