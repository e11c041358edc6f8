"""Actors in virtual time: turns, bounds, restarts, failures, and the order of the end."""

import asyncio

import pytest

from cluster.actor import Actor, Mailbox, Restart, Supervisor
from cluster.errors import Closed, DeadlineExceeded, Overloaded
from cluster.sim.clock import simulate


class Recorder(Actor):
    """Keeps its turns; fails where it is told to; answers futures."""

    def __init__(self, told, name="recorder"):
        super().__init__(name=name)
        self.told = told
        self.turns = []

    async def on_start(self):
        self.told.append(f"{self.name} starts")

    def on_turn(self, messages):
        self.turns.append(list(messages))
        self.told.append(list(messages))
        for message in messages:
            if isinstance(message, asyncio.Future):
                message.set_result(self.name)
            if message == "fail":
                raise ValueError(message)

    async def on_stop(self):
        self.told.append(f"{self.name} stops")

    def on_unread(self, messages):
        if messages:
            self.told.append(("unread", list(messages)))


def lived(script):
    """What was told, and what was fatal, in `script(supervisor, told)`; its virtual seconds."""
    told, fatal = [], []

    async def life():
        supervisor = Supervisor(on_fatal=fatal.append)
        await script(supervisor, told)
        await supervisor.stop()

    _, loop = simulate(life(), seed=1)
    return told, fatal, loop.now_s


def test_a_turn_takes_all_that_arrived():
    """In the order of arrival; a message of its own (`post`) needs no room."""

    async def script(supervisor, told):
        actor = Recorder(told)
        ref = supervisor.spawn(actor, mailbox_max=2)
        ref.tell_nowait(1)
        ref.tell_nowait(2)
        await asyncio.sleep(1)
        actor.post(3)
        await asyncio.sleep(1)

    assert (["recorder starts", [1, 2], [3], "recorder stops"], [], 2.0) == lived(script)


def test_a_full_mailbox_refuses_and_a_patient_teller_waits():
    """`put_nowait` is Overloaded beyond the bound; `put` goes on when a turn has made room."""

    async def script(_, told):
        mailbox = Mailbox(1)
        mailbox.put_nowait("first")
        with pytest.raises(Overloaded):
            mailbox.put_nowait("second")
        waiting = asyncio.create_task(mailbox.put("third"))
        await asyncio.sleep(1)
        told.append(waiting.done())
        told.append(mailbox.take_all())
        await waiting
        told.append(mailbox.take_all())

    assert [False, ["first"], ["third"]] == lived(script)[0]


def test_tellers_that_wait_are_told_of_the_end():
    """A closed mailbox wakes them with Closed and gives back what nobody read."""

    async def script(_, told):
        mailbox = Mailbox(1)
        mailbox.put_nowait("unread")
        waiting = asyncio.create_task(mailbox.put("late"))
        await asyncio.sleep(1)
        told.append(mailbox.close())
        with pytest.raises(Closed):
            await waiting
        with pytest.raises(Closed):
            mailbox.post("later")

    assert [["unread"]] == lived(script)[0]


def test_a_question_gets_its_answer_or_an_end():
    """`ask` returns the answer; without one it is DeadlineExceeded after the time it was given."""

    async def script(supervisor, told):
        ref = supervisor.spawn(Recorder([]), mailbox_max=4)
        told.append(await ref.ask(lambda reply: reply, timeout_s=3))
        with pytest.raises(DeadlineExceeded):
            await ref.ask(lambda _: "no future in it", timeout_s=3)
        told.append(asyncio.get_running_loop().time())

    assert ["recorder", 3.0] == lived(script)[0]


def test_a_failure_without_restart_is_fatal():
    """The messages of the failed turn and those behind it are handed over as unread, after the stop's own turn."""

    async def script(supervisor, told):
        ref = supervisor.spawn(Recorder(told), mailbox_max=4)
        ref.tell_nowait("fail")
        await asyncio.sleep(1)
        with pytest.raises(Closed):
            ref.tell_nowait("too late")

    told, fatal, _ = lived(script)

    assert ["recorder starts", ["fail"], ("unread", ["fail"]), "recorder stops"] == told
    assert ["ValueError('fail')"] == [repr(error) for error in fatal]


def test_restarts_wait_longer_each_time_and_a_good_turn_forgives():
    """Waits of 1, 2, 4 s while turns fail in a row; after a good turn the next wait is 1 s again."""

    async def script(supervisor, told):
        started = []

        class Timed(Recorder):
            async def on_start(self):
                started.append(asyncio.get_running_loop().time())

        restart = Restart(make=lambda: Timed([]), wait_s_min=1, wait_s_max=60, failures_max=3)
        ref = supervisor.spawn(Timed([]), mailbox_max=4, restart=restart)
        for _ in range(3):
            ref.tell_nowait("fail")
            await asyncio.sleep(10)
        ref.tell_nowait("good")
        await asyncio.sleep(10)
        ref.tell_nowait("fail")
        await asyncio.sleep(10)
        told.extend(started)

    assert ([0.0, 1.0, 12.0, 24.0, 41.0], []) == lived(script)[:2]


def test_too_many_failures_in_a_row_are_fatal():
    """One more than `failures_max`."""

    async def script(supervisor, told):
        restart = Restart(make=lambda: Recorder(told), wait_s_min=1, failures_max=2)
        ref = supervisor.spawn(Recorder(told), mailbox_max=4, restart=restart)
        for _ in range(3):
            ref.tell_nowait("fail")
            await asyncio.sleep(10)

    told, fatal, _ = lived(script)

    assert 3 == told.count("recorder starts")
    assert 1 == len(fatal)


def test_a_stop_does_not_wait_for_a_restart():
    """What waits to be restarted ends at once."""

    async def script(supervisor, told):
        restart = Restart(make=lambda: Recorder(told), wait_s_min=100, wait_s_max=100)
        ref = supervisor.spawn(Recorder(told), mailbox_max=4, restart=restart)
        ref.tell_nowait("fail")
        await asyncio.sleep(1)

    told, fatal, took_s = lived(script)

    assert 1.0 == took_s
    assert ["recorder starts", ["fail"], ("unread", ["fail"]), "recorder stops"] == told
    assert [] == fatal


def test_the_end_comes_in_the_opposite_order_of_the_start():
    """The youngest actor first; background tasks last, cancelled."""

    async def script(supervisor, told):
        async def background():
            try:
                await asyncio.Event().wait()
            finally:
                told.append("background ends")

        supervisor.spawn_task(background(), name="background")
        for name in ("first", "second", "third"):
            supervisor.spawn(Recorder(told, name), mailbox_max=1)
        await asyncio.sleep(1)
        told.clear()

    assert ["third stops", "second stops", "first stops", "background ends"] == lived(script)[0]


def test_background_work_that_fails_is_fatal():
    """At once, and not when the node stops."""

    async def script(supervisor, told):
        async def background():
            raise OSError("gone")

        supervisor.spawn_task(background(), name="background")
        await asyncio.sleep(1)
        told.append("still here")

    told, fatal, _ = lived(script)

    assert ["still here"] == told
    assert ["OSError('gone')"] == [repr(error) for error in fatal]


def test_what_stopped_before_its_turn_is_handed_over():
    """A message left after the stop was asked for and before it came is unread, not lost."""

    async def script(supervisor, told):
        ref = supervisor.spawn(Recorder(told), mailbox_max=4)
        await asyncio.sleep(1)
        stopping = asyncio.create_task(ref.stop())
        ref.tell_nowait("late")
        await stopping

    told = lived(script)[0]

    assert told in (
        ["recorder starts", "recorder stops", ("unread", ["late"])],
        ["recorder starts", ["late"], "recorder stops"],
    )
