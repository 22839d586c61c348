"""
The life of a run as one table: what may happen in which status, and what follows.

Storage makes the conditions and the values of its statements from it; the engine, what
it does with a run that it takes over, loses or leaves. There is no other list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum


class RunStatus(StrEnum):
    """Where a run is in its life; the words are Replicate's where it has one."""

    QUEUED = "queued"
    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self not in UNFINISHED


class RunEvent(Enum):
    """What may happen to a run."""

    CLAIM = "its turn has come: an attempt begins"
    ATTACH = "its provider has said what finds the answer again"
    FLUSH = "its text so far is written"
    REQUEUE = "its provider wants it later, and has not begun anything"
    FALL_BACK = "its provider has begun nothing, and another one is asked"
    TAKE_OVER = "its process is dead or forgot it: another one, or the same, has it"
    REQUEST_CANCEL = "a client wants it to stop"
    LOSE_LEASE = "its process finds out that another one has taken it over"
    STOP = "its process stops before it has ended"
    SUCCEED = "its answer is whole"
    FAIL = "it cannot be answered"
    CANCEL = "it was stopped for its client"
    EXPIRE = "its provider has erased the answer"
    INTERRUPT = "its answer broke off with a process, and may not be asked for again"


class Effect(Enum):
    """What else an event does; the first ones to the row, the others to the process."""

    NEXT_ATTEMPT = "the attempt grows: writes that name the one before change nothing"
    START_CLOCK = "the attempt begins to be timed"
    STOP_CLOCK = "no attempt is timed"
    DISOWN = "no process holds it any more"
    ASK_TO_STOP = "its process finds that out when it looks at its runs"
    MAY_HIDE_TEXT = "clients may have read text of the attempt that was not written"
    ASK = "its provider was not asked yet: it is now"
    CONTINUE = "an answer may exist: that is found first, where its provider keeps it"
    LEAVE = "the next process continues with it"
    ABANDON = "work on it stops at once"
    DETACH = "an answer that its provider keeps is not stopped: it is the holder's"


@dataclass(frozen=True, slots=True)
class Transition:
    """What an event makes of a run."""

    status: RunStatus
    effects: frozenset[Effect] = frozenset()


class ForbiddenTransition(ValueError):
    """An event that cannot happen to a run in this status: a bug."""


def _table() -> Mapping[tuple[RunStatus, RunEvent], Transition]:
    queued, starting, processing = (
        RunStatus.QUEUED,
        RunStatus.STARTING,
        RunStatus.PROCESSING,
    )
    table: dict[tuple[RunStatus, RunEvent], Transition] = {}

    def add(event: RunEvent, old: RunStatus, new: RunStatus, *effects: Effect) -> None:
        table[old, event] = Transition(new, frozenset(effects))

    add(
        RunEvent.CLAIM,
        queued,
        starting,
        Effect.NEXT_ATTEMPT,
        Effect.START_CLOCK,
    )
    for status in (starting, processing):
        add(RunEvent.ATTACH, status, processing)
        add(RunEvent.FLUSH, status, processing)
    # What is requeued once more was written, and its process was not told.
    for status in (starting, queued):
        add(RunEvent.REQUEUE, status, queued, Effect.STOP_CLOCK)

        add(RunEvent.FALL_BACK, status, status)

    taken = Effect.NEXT_ATTEMPT
    add(RunEvent.TAKE_OVER, queued, queued, Effect.ASK, taken)
    hides = Effect.MAY_HIDE_TEXT
    add(RunEvent.TAKE_OVER, starting, starting, Effect.CONTINUE, hides, taken)
    add(RunEvent.TAKE_OVER, processing, starting, Effect.CONTINUE, taken)

    for status in (queued, starting, processing):
        add(RunEvent.REQUEST_CANCEL, status, status, Effect.ASK_TO_STOP)
        for event, end in ENDS.items():
            if (status, event) != (queued, RunEvent.SUCCEED):
                add(event, status, end, Effect.DISOWN)
    add(RunEvent.LOSE_LEASE, queued, queued, Effect.ABANDON)
    add(RunEvent.STOP, queued, queued, Effect.LEAVE)
    for status in (starting, processing):
        add(RunEvent.LOSE_LEASE, status, status, Effect.DETACH)
        add(RunEvent.STOP, status, status, Effect.CONTINUE)
    return table


ENDS: Mapping[RunEvent, RunStatus] = {
    RunEvent.SUCCEED: RunStatus.SUCCEEDED,
    RunEvent.FAIL: RunStatus.FAILED,
    RunEvent.CANCEL: RunStatus.CANCELED,
    RunEvent.EXPIRE: RunStatus.EXPIRED,
    RunEvent.INTERRUPT: RunStatus.INTERRUPTED,
}
TABLE = _table()
UNFINISHED = frozenset(status for status, _ in TABLE)


def follow(status: RunStatus, event: RunEvent) -> Transition:
    """
    Return what `event` makes of a run.

    Raises:
        ForbiddenTransition: It cannot happen to one in this status.
    """
    transition = TABLE.get((status, event))
    if transition is None:
        raise ForbiddenTransition(f"A run that is {status} cannot {event.name}.")
    return transition


def transitions_of(event: RunEvent) -> Mapping[RunStatus, Transition]:
    """Return in which statuses an event can happen, and what it makes of each."""
    return {status: each for (status, one), each in TABLE.items() if one is event}
