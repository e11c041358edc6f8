"""How long writes took is told of the last minute; how long there is no room, until those who met it have written."""

from cluster.log.timing import KEPT_MAX, Timing


def test_the_usual_and_the_longest_of_the_last_minute() -> None:
    """The median, so that one slow write does not make a slow disk; only the newest count."""
    timing = Timing()
    assert (None, None) == (timing.took_s(0), timing.under_way_s(0))
    for number in range(KEPT_MAX + 3):
        timing.begins(number)
        assert 0.25 == timing.under_way_s(number + 0.25)
        took_s = 0.9 if number in {1, 10} else 0.1
        timing.ends(number + took_s, wrote=[1], full=())

    usual_s, longest_s = timing.took_s(KEPT_MAX + 4.0) or (0.0, 0.0)
    assert (0.1, 0.9) == (round(usual_s, 3), round(longest_s, 3))
    assert None is timing.under_way_s(100)
    assert (0.1, 0.1) == tuple(round(part_s, 3) for part_s in timing.took_s(71.5) or ())
    assert None is timing.took_s(200)


def test_a_full_disk_is_full_until_those_who_met_it_have_written() -> None:
    """Others' writes, which need no room, change nothing."""
    timing = Timing()
    for at_s, wrote, full in ((1, {1, 2}, {1}), (2, {2}, set()), (3, {1, 3}, {1, 3})):
        timing.begins(at_s)
        timing.ends(at_s, wrote=wrote, full=full)
    assert 4 == timing.full_s(5)
    timing.begins(6)
    timing.ends(6, wrote={1}, full=set())
    assert 6 == timing.full_s(7)
    timing.begins(8)
    timing.ends(8, wrote={3}, full=set())
    assert 0 == timing.full_s(9)
