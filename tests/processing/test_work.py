"""Work and effects as they cross the boundary."""

import pytest

from cluster.errors import RefusedToStart
from cluster.processing import work
from cluster.processing.work import Batch, Effects, Fired, Output, StateChange, TimerChange, TimerClock, Work


def test_work_and_effects_come_back_as_they_went() -> None:
    """What the host decodes is what the node meant, and the other way round."""
    handed = Work(
        task=1,
        n=7,
        now_ns=5,
        batches=[
            Batch(
                input=0,
                partition=3,
                payload=b"\0\xff",
                codec=1,
                uncompressed_size=2,
                record_count=9,
                base_offset=100,
                begin=104,
                end=109,
            )
        ],
        fired=[Fired(key=b"k", name="reset", at_ns=4)],
        idle=[(0, 1)],
        in_time_order=True,
    )
    came = Effects(
        state=[StateChange(store="spend", key=b"k", value=None)],
        timers=[TimerChange(key=b"k", name="reset", at_ns=9, clock=TimerClock.PROCESSING)],
        outputs=[Output(output=0, key=None, value=b"v", headers=[("a", b"b")], timestamp_ns=3)],
        watermark_ns=work.BEFORE_ALL_TIME_NS,
        counts={"late": 1},
    )

    assert handed == work.decode_work(work.encode(handed))
    assert came == work.decode_effects(work.encode(came))


@pytest.mark.parametrize("data", [b"", b"\x93\x01\x02\x03", b"\xc0"])
def test_what_another_version_wrote_is_refused(data: bytes) -> None:
    """A host and a node of different versions stop with a sentence, not with wrong values."""
    with pytest.raises(RefusedToStart, match="another version"):
        work.decode_work(data)
    with pytest.raises(RefusedToStart, match="another version"):
        work.decode_effects(data)
