"""Actors: one mailbox, one owner of state, one turn at a time.

An `Actor` is a class whose state only its own turns change. Others hold a `Ref` and tell or ask. A turn takes all that
arrived since the last one. A `Supervisor` runs actors and background tasks, restarts what may be restarted, escalates
what may not, and stops everything in the opposite order of its start. Nobody who asked is left waiting. A loop that is
no actor sleeps by an `Alarm`.
"""

from cluster.actor.actor import Actor
from cluster.actor.alarm import Alarm
from cluster.actor.mailbox import Mailbox
from cluster.actor.ref import Ref
from cluster.actor.supervisor import Restart, Supervisor

__all__ = ["Actor", "Alarm", "Mailbox", "Ref", "Restart", "Supervisor"]
