"""Clocks tell time on both worlds; waiting is the loop's, and both agree how long it was."""

import asyncio

from tests.contracts.places import in_both_worlds

SLACK_S = 0.02
"""A timer may fire this much early by another clock's reckoning."""


@in_both_worlds
async def test_a_wait_is_as_long_as_the_clock_says(place):
    """At least what was asked for, by the monotonic clock."""
    start_s = place.clock.monotonic_s()
    await asyncio.sleep(place.short_s)

    assert place.clock.monotonic_s() - start_s >= place.short_s - SLACK_S


@in_both_worlds
async def test_monotonic_time_never_goes_back(place):
    """Reading by reading, across waits."""
    readings = []
    for _ in range(20):
        readings.append(place.clock.monotonic_s())
        await asyncio.sleep(0)

    assert sorted(readings) == readings


@in_both_worlds
async def test_wall_time_is_nanoseconds_since_1970(place):
    """An int, after 2020 and before 2100, which passes as monotonic time does."""
    first_ns, first_s = place.clock.wall_ns(), place.clock.monotonic_s()
    await asyncio.sleep(place.short_s)
    passed_s = (place.clock.wall_ns() - first_ns) / 1e9

    assert isinstance(first_ns, int)
    assert 1_577_836_800 < first_ns / 1e9 < 4_102_444_800
    assert abs(passed_s - (place.clock.monotonic_s() - first_s)) < SLACK_S
