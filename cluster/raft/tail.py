"""A doubtful end: the last frames on disk are damaged, and it cannot be told here whether they were ever acknowledged.

They may be a torn write (never acknowledged: may be dropped) or a flipped bit (acknowledged, perhaps committed: must
not be dropped). Protocol-aware recovery (Alagappan et al., FAST'18) asks the others. Until it is decided, this replica

- does not campaign, because it might lead without an entry that it had helped to commit;
- votes as if its log still ended with the doubtful entry, of the highest term that it can have had, so that it helps
  nobody into office who might lack it.

The doubt ends when a leader's entry takes the place, or one before it (every leader of a later term has all that is
committed; a log that has to be cut below the doubt was no leader's of this term beyond that), or when every other voter
has answered, twice, that it has nothing intact there: then the entry was on no majority, and no leader can still count
this replica's old acknowledgement of it. (A majority of the others would show the first, but not the second: a leader
that was not asked could count a copy that is gone.) They are asked for the second time when all have answered for the
first: whoever led with the entry leads no more by then, and whatever it had counted was there before that, and is
found. Answers to one asking alone say too little: what was not there yet when one was asked may have come, and been
counted, before the leader was asked, who had lost it meanwhile.

Answers also lower the term that the doubtful entry can have had. If it was ever on a majority, one of the others holds
it, and says so: an entry that is committed is never overwritten, so the highest term that anybody has at that index is
at least its term. Without this, two doubtful replicas of three whose bound is a term that elected nobody would refuse
the third for ever. A leader answers also for an entry that it has only in memory: it may yet commit it. A replica with
no other has nobody to ask: the damaged bytes were set aside by its log, and the doubt is over at once.

A write may hold many entries, and a damaged one has intact ones behind it, which cannot stand alone: all of them are in
doubt (`doubts`, oldest first, with their terms; the first one's may have been lower), and which of them anybody has is
found by halves (`doubts_held`: of so many of them, the oldest ones, somebody has something). Where nobody can say how
many there were (bytes that no header explains, a file that ends too early), there may have been more, of any number
mostly: all up to `doubts_to`, of its term at most. What was on a majority one of the others has, whose log ends no
earlier: so that bound falls to the newest entry that any of them has, as soon as all have answered twice (older builds
do not say what they have). Until then, or for as long as one of them is away, nobody gets this replica's vote who has
nothing of a later term.

The first of a leader's entries writes over what is left of them; from then on this replica recovers, and *owes* what it
may have had: the power may go when the damaged bytes are gone and no entry is there yet. How much that is, a restart
does not know (UNCOUNTED; `owes_at_most`: how much, as far as is known), and the others do not count on it: what is owed
and is nowhere would keep a group without a leader for ever, and two that owe it would hold each other up. It falls as
the bound above does, when all have answered twice; and all of it is here when the log ends no earlier again, with a
leader or without, or, under a leader of its own term, when all is here that this one had. (What was whole and was
thrown away for a leader is counted, and such a log has to reach further, too: `beginning`.)

What cannot be read may have changed the membership. Whoever answers says so if it knows a newer one, and then those are
asked as well: of each membership in turn a majority holds the next one, so that the last of them is heard of. (But of a
membership of one voter that is this replica nobody else has to: that one's disk is all that there is.)

A log that is damaged further down ends before that, and owes what followed in the same way. Its replica asks as well: a
leader that hears the question forgets what it believed this replica to have, and sends it again. These messages have no
term's effect: they are facts about disks.
"""

from typing import TYPE_CHECKING

from cluster.messages import TailQuery, TailReply
from cluster.raft import election, following
from cluster.types import UNCOUNTED, UNCOUNTED_ANEW, Index, ReplicaId, Term

if TYPE_CHECKING:
    from cluster.raft.core import Raft

ABSENT, DOUBTFUL, INTACT = 0, 1, 2


def tick(core: "Raft") -> None:
    """Ask again, as often as heartbeats go."""
    following.note_durable(core)
    if core.elapsed % core.options.heartbeat_ticks == 0:
        ask(core)


def ask(core: "Raft") -> None:
    """Ask everybody."""
    indices = {Index(core.last_index + 1), *([core.doubts[asked(core)][0]] if core.doubts else [])}
    for replica in others(core):
        for index in sorted(indices):
            core.send_free(
                TailQuery(
                    sender=core.me,
                    to=replica,
                    term=core.term,
                    index=index,
                    after=core.last_index,
                    asking=core.tail_asking,
                )
            )


def others(core: "Raft") -> list[ReplicaId]:
    """Who is asked: those that count, as far as is known here or was told since."""
    return [*core.electors, *(replica for replica in core.tail_members if replica not in core.electors)]


def asked(core: "Raft") -> int:
    """Which of the doubts the others are asked about: in the middle of those that nobody is known to have."""
    return min((core.doubts_held + len(core.doubts)) // 2, len(core.doubts) - 1)


def step(core: "Raft", message: TailQuery | TailReply) -> None:
    """Take a question or an answer."""
    if isinstance(message, TailQuery):
        query(core, message)
    else:
        reply(core, message)


def query(core: "Raft", message: TailQuery) -> None:
    """Say what is here at that index, on disk; a leader sends it again from there."""
    progress = core.progress.get(message.sender)
    if progress is not None and progress.match >= message.index:
        progress.start_over(Index(message.index - 1))
    term = core.terms.term_at(message.index)
    held = term is not None and (core.is_leader or message.index <= core.durable_index)
    if held or message.index <= core.terms.fold_index:
        state, entry_term = INTACT, term or core.terms.fold_term
    elif core.owes is not None and not owes_uncounted(core) and message.index <= core.owes[0]:
        state, entry_term = INTACT, core.owes[1]  # as if it were here still: nobody's doubt is over because it is not
    elif (core.doubts and core.doubts[0][0] <= message.index) or core.recovering:
        state, entry_term = DOUBTFUL, Term(0)
    else:
        state, entry_term = ABSENT, Term(0)
    newer = max(core.memberships.index, core.terms.fold_index) > message.after
    core.send_free(
        TailReply(
            sender=core.me,
            to=message.sender,
            term=core.term,
            index=message.index,
            state=state,
            entry_term=entry_term,
            membership=core.membership if newer else None,
            asking=message.asking,
            newest=_newest(core),
        )
    )


def _newest(core: "Raft") -> tuple[Index, Term]:
    """The newest entry that is here, or counts as if it were."""
    last = core.last_index if core.is_leader else core.durable_index
    index = max(last, core.terms.fold_index)
    here = index, core.terms.term_at(index) or core.terms.fold_term
    return here if core.owes is None or owes_uncounted(core) else max(here, core.owes, key=_age)


def reply(core: "Raft", message: TailReply) -> None:
    """When all the others have answered twice, the doubt is as high as the highest term among them, or over.

    Of all but the first the term is known, and the first one's is no lower than that of the entry before it: if nobody
    has one as high there, it was never on a majority, and neither was what followed it.
    """
    owed = not core.doubts and owes_uncounted(core)
    wanted = owed or (bool(core.doubts) and message.index == core.doubts[asked(core)][0])
    if not wanted or message.asking != core.tail_asking:
        return
    core.tail_answers[message.sender] = message
    if message.membership is not None:
        more = (*message.membership.voters, *message.membership.outgoing)
        core.tail_members.update({member.replica: member.node for member in more if member.replica != core.me})
    if any(replica not in core.tail_answers for replica in others(core)):
        return
    before, core.tail_before = core.tail_before, core.tail_answers
    core.tail_answers = {}
    core.tail_asking += 1
    if any(replica not in before for replica in others(core)):
        ask(core)
        return
    said = [answers[replica] for replica in others(core) for answers in (before, core.tail_before)]
    _lower_bound(core, said)
    if owed:
        following.note_durable(core)
        return
    place = asked(core)
    index, term = core.doubts[place]
    highest = max(answer.entry_term if answer.state == INTACT else Term(0) for answer in said)
    if not highest or highest < (term if place else core.last_term):
        del core.doubts[place:]
        core.doubts_held, core.doubts_to = 0, None  # nothing that followed was on a majority either
    else:
        core.doubts[place] = (index, min(term, highest))
        core.doubts_held = place + 1
    if not core.doubts or core.doubts[asked(core)][0] != index:
        core.tail_before = {}


def owes_uncounted(core: "Raft") -> bool:
    """Whether nobody can say how much this replica owes."""
    return core.owes is not None and core.owes[0] >= UNCOUNTED


def _lower_bound(core: "Raft", said: list[TailReply]) -> None:
    """Nothing newer than what any of the others has was on a majority."""
    newest = [answer.newest for answer in said if answer.newest is not None]
    if len(newest) == len(said):
        highest = max(newest, key=_age)
        core.owes_at_most = highest if core.owes_at_most is None else min(core.owes_at_most, highest, key=_age)


def uncounted(core: "Raft") -> tuple[Index, Term] | None:
    """The newest entry that this replica can have acknowledged of those that cannot be counted."""
    bounds = [core.doubts_to, core.owes if owes_uncounted(core) else None]
    highest = max(filter(None, bounds), key=_age, default=None)
    return highest if highest is None or core.owes_at_most is None else min(core.owes_at_most, highest, key=_age)


def _age(entry: tuple[Index, Term]) -> tuple[Term, Index]:
    return entry[1], entry[0]


def owe(core: "Raft", promised: tuple[Index, Term], last: Index) -> None:
    """From now on this replica votes as if its log ended with what was `promised`; after a restart, at `last`."""
    core.owes = (last, promised[1])
    core.owes_at_most = promised if last >= UNCOUNTED else None


def is_whole(core: "Raft", here: Index) -> bool:
    """Whether a replica has what it lacked, by itself or from its leader (up to `here`).

    What it has it has of leaders: if it ends no earlier than what it has promised, it has all of that that is
    committed (§5.4.3), as any log does. Of this term's leader it need not be of that term: that is a bound. One that
    began anew has to reach further (`whole_at`), which is in its mark: a restart finds out by itself that it is whole,
    else the newest log of a group might be one that may not lead.
    """
    durable, end_only = core.durable_index, core.owes is not None and core.owes[0] == UNCOUNTED
    if core.doubts or core.owes is None or not (end_only or (core.whole_at is not None and durable >= core.whole_at)):
        return False
    index, term = uncounted(core) or core.owes
    if end_only and here >= index:
        return True
    return (core.terms.term_at(durable) or core.terms.fold_term, durable) >= (term, index)


def forget(core: "Raft") -> None:
    """Nothing is doubtful any more, and what others have answered is of no more use: there may be more promises now."""
    core.doubts.clear()
    core.doubts_to = None
    core.tail_answers, core.tail_before = {}, {}
    core.tail_asking += 1


def replaced(core: "Raft", promised: tuple[Term, Index]) -> None:
    """A leader's entries, or its fold, stand where the first doubt was: what tells of the doubts goes with that.

    It goes before they are on disk. So this replica recovers, until it has what it may have had, and remembers that.
    `promised`: the newest entry that it can have acknowledged before.
    """
    term, index = promised
    owes_more = core.owes == (index, term)  # than was in doubt
    if index <= core.matched:  # what this term's leader has there: it is that, or was never committed
        term = min(term, core.terms.term_at(index) or term)
    if election.knows_newest(core) and not owes_more:
        anew = core.recovering and core.owes is not None and core.owes[0] != UNCOUNTED
        owe(core, (index, term), UNCOUNTED_ANEW if anew else UNCOUNTED)
    forget(core)
    core.recovering = True
