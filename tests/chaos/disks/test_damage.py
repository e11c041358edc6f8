"""What is done to a file at rest is what was drawn, where there is something, and nothing else."""

import random
from pathlib import Path

import pytest

import chaos.nemeses.disks  # noqa: F401  registers its faults
from chaos.arenas.processes.disks.damage import HOWS, Wound, byte_at, flip, wound
from chaos.arenas.processes.disks.layout import Kept, files_of, spans_of
from chaos.nemeses.catalogue import CATALOGUE
from chaos.nemeses.schedule import Schedule, draw_schedule

CONTENT = random.Random(7).randbytes(3000).replace(b"\0", b"\1")
DAMAGES = ("damaged_log", "damaged_in_use", "damaged_vote", "damaged_journal", "damaged_state")
EARLIER = CONTENT[:1000] + bytes(5000)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A log with room behind its frames."""
    path = tmp_path / "replicas" / ("a" * 32) / "2-7" / "00000000000000000001.log"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT + bytes(3000))
    return files_of(tmp_path, "log")[0]


def test_files_are_found_by_what_they_are(tmp_path: Path, kept: Kept):
    """With where they hold something, and whose they are; what holds nothing is passed over."""
    (kept.path.parent / "vote").write_bytes(b"A" * 44 + bytes(4052) + b"B" * 44 + bytes(4052))
    (kept.path.parent / "state.db").write_bytes(b"x" * 10)
    (kept.path.parent / "state.db-wal").write_bytes(bytes(100))
    (kept.path.parent / "state.db-shm").write_bytes(b"x")

    assert "aaaaaaaa/2" == kept.partition
    assert ((0, 3000),) == kept.spans
    assert [((0, 44), (4096, 4140))] == [vote.spans for vote in files_of(tmp_path, "vote")]
    assert ["state.db"] == [state.path.name for state in files_of(tmp_path, "state")]
    assert [] == files_of(tmp_path, "journal")


def test_a_place_is_in_what_is_used():
    """Never in the room between and behind."""
    data = b"\0" * 5 + b"A" * 44 + bytes(1000) + b"B" * 10 + bytes(70) + b"C" * 10 + bytes(999)
    spans = spans_of(data)
    kept = Kept(Path("x"), "x", spans)
    places = {kept.position(place / 1000) for place in range(1000)}

    assert ((5, 49), (1049, 1139)) == spans
    assert {*range(5, 49), *range(1049, 1139)} == places


@pytest.mark.parametrize("place", [0.0, 0.3, 0.99999])
def test_one_bit_is_flipped(kept: Kept, place: float):
    """One, and the file is as long as it was."""
    wound(kept, Wound(how="flip", file=0.0, place=place))

    found = kept.path.read_bytes()
    changed = [(one, other) for one, other in zip(CONTENT + bytes(3000), found, strict=True) if one != other]
    assert 1 == len(changed)
    assert 1 == (changed[0][0] ^ changed[0][1]).bit_count()


@pytest.mark.parametrize("place", [0.0, 0.3, 0.99999])
def test_a_flip_done_twice_is_undone(kept: Kept, place: float):
    """So a good copy can be made of a file that is damaged; and it says what stands there."""
    before = kept.path.read_bytes()
    what = Wound(how="flip", file=0.0, place=place)
    flip(kept, what)
    assert before[kept.position(place)] != byte_at(kept.path, kept.position(place))
    flip(kept, what)

    assert before == kept.path.read_bytes()
    assert -1 == byte_at(kept.path, len(before))


def test_the_end_is_cut(kept: Kept):
    """With the room behind it."""
    assert "was cut at byte 1500 of 3000" in wound(kept, Wound(how="cut", file=0.0, place=0.5))

    assert CONTENT[:1500] == kept.path.read_bytes()


def test_chunks_are_swapped(kept: Kept):
    """Two that lie beside each other; no byte is lost."""
    wound(kept, Wound(how="swap", file=0.0, place=0.1, size=0.4))

    expected = CONTENT[:300] + CONTENT[600:900] + CONTENT[300:600] + CONTENT[900:]
    assert expected + bytes(3000) == kept.path.read_bytes()


def test_a_stale_file_is_the_earlier_one(kept: Kept):
    """All of it."""
    wound(kept, Wound(how="stale-file", file=0.0, place=0.1), earlier=EARLIER)

    assert EARLIER == kept.path.read_bytes()


def test_a_stale_chunk_lies_where_the_file_has_changed(kept: Kept):
    """A write that never reached the disk: what comes after it is as it was written."""
    wound(kept, Wound(how="stale-chunk", file=0.0, place=0.1, size=0.4), earlier=EARLIER)

    assert CONTENT[:1000] + bytes(300) + CONTENT[1300:] + bytes(3000) == kept.path.read_bytes()


@pytest.mark.parametrize("how", HOWS)
def test_something_is_always_done(kept: Kept, how: str):
    """A file that has not changed since, or is too small, is damaged as well."""
    before = kept.path.read_bytes()
    wound(kept, Wound(how=how, file=0.0, place=0.5, size=0.5), earlier=before)

    assert before != kept.path.read_bytes()


def test_bad_disks_are_one_nodes_in_a_schedule():
    """Lies and damage always hit the same node, which the schedule names; other schedules have others."""
    names = ["lying_sync", *DAMAGES]
    victims = set()
    for seed in range(20):
        schedule = draw_schedule(seed, names, seconds=300, every_s=5)
        assert schedule == Schedule.from_json(schedule.to_json())
        hit = {planned.options["node"] for planned in schedule.faults}
        assert 1 == len(hit)
        victims |= hit
        assert schedule == draw_schedule(seed, names, seconds=300, every_s=5)
    assert {1, 2, 3} == victims


def test_what_is_drawn_is_what_can_be_done():
    """Ways are known, and no stale copy is drawn of what cannot know that it is one."""
    chance = random.Random(1)
    for name in DAMAGES:
        drawn = [CATALOGUE[name].draw(chance) for _ in range(100)]
        assert {options["how"] for options in drawn} <= set(HOWS)
        if name in {"damaged_vote", "damaged_journal"}:
            assert not any(options["how"].startswith("stale") for options in drawn)
