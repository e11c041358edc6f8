"""Works whose records a sink holds for a larger piece: one commit for all of them, when the piece is there. Pure."""

import msgspec

from cluster.processing.work import BEFORE_ALL_TIME_NS, Effects, Work


class Holding:
    """Of one task, since its last commit."""

    def __init__(self) -> None:
        self._works: list[Work] = []
        self._effects: list[Effects] = []

    @property
    def is_any(self) -> bool:
        """Works are held."""
        return bool(self._works)

    def add(self, work: Work, effects: Effects) -> None:
        """One more that is held; what was in it is not needed any more."""
        batches = [msgspec.structs.replace(batch, payload=b"") for batch in work.batches]
        self._works.append(msgspec.structs.replace(work, batches=batches))
        self._effects.append(effects)

    def released(self, work: Work, effects: Effects) -> tuple[Work, Effects]:
        """All of them and this one, as one."""
        if not self._works:
            return work, effects
        self.add(work, effects)
        works, all_effects = self._works, self._effects
        self._works, self._effects = [], []
        counts: dict[str, int] = {}
        for each in all_effects:
            for name, count in each.counts.items():
                counts[name] = counts.get(name, 0) + count
        merged = Effects(
            state=list({(change.store, change.key): change for each in all_effects for change in each.state}.values()),
            timers=list({(timer.key, timer.name): timer for each in all_effects for timer in each.timers}.values()),
            outputs=[output for each in all_effects for output in each.outputs],
            watermark_ns=max((each.watermark_ns for each in all_effects), default=BEFORE_ALL_TIME_NS),
            counts=counts,
            failure=next((each.failure for each in reversed(all_effects) if each.failure is not None), None),
            ended=effects.ended,
        )
        batches = [batch for each in works for batch in each.batches]
        fired = [timer for each in works for timer in each.fired]
        return msgspec.structs.replace(work, batches=batches, fired=fired), merged
