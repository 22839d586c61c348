"""
Whether the promises were kept.

Three accounts of the same events are laid side by side: what clients were told (their
journal), what the history says (over HTTP), and what the provider was asked to make
(the emulator's predictions). Each was written by somebody else, so a lie shows.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

FINAL = {"succeeded", "failed", "canceled", "expired", "interrupted"}
UNANSWERED = FINAL - {"succeeded", "canceled"}
ENDED = {"succeeded", "failed", "canceled", "aborted"}
"""Of predictions."""
_ROUNDING = 0.01
"""Seconds that times in the history may be off."""


@dataclass(kw_only=True, eq=False)
class Told:
    """What a client was told about one prompt, and so relies on."""

    prompt: str
    """No other prompt is the same."""
    run_ids: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    """Every whole answer it was given, at once or put together from a stream."""
    status: str | None = None
    """How the run ended, if it was told."""
    problem: str | None = None
    is_canceled: bool = False
    """Whether it asked to cancel."""
    resumed: int = 0
    """How often it went on with a stream behind what it had read."""
    is_unsure: bool = False
    """Whether a request of its may have been stored without its knowledge."""
    denied_at: list[float] = field(default_factory=list)
    """When it was told that nothing was stored, by `time.time`."""
    missing: set[str] = field(default_factory=set)
    """Runs it was told do not exist."""


@dataclass(kw_only=True)
class Verdict:
    """What was found; each fault is a sentence."""

    prompts: int = 0
    resumed: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    unclean: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    interrupted: int = 0
    """Runs that may have been asked, and were not asked again."""
    extra_canceled: int = 0
    """Predictions that were one too many, and were canceled."""
    slowest: float = 0
    """Seconds that recovering took, at most."""

    @property
    def faults(self) -> list[str]:
        """Everything that broke a promise."""
        return [*self.damage, *self.slow]

    @property
    def damage(self) -> list[str]:
        """What broke a promise, however busy the machine was."""
        return [*self.lost, *self.wrong, *self.twice, *self.unclean]

    def __iadd__(self, other: Self) -> Self:
        self.prompts += other.prompts
        self.resumed += other.resumed
        self.lost += other.lost
        self.wrong += other.wrong
        self.twice += other.twice
        self.unclean += other.unclean
        self.slow += other.slow
        self.interrupted += other.interrupted
        self.extra_canceled += other.extra_canceled
        self.slowest = max(self.slowest, other.slowest)
        return self


def check(
    journal: Sequence[Told],
    history: Mapping[str, Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Any]],
    *,
    strikes: Sequence[float] = (),
    bound: float = float("inf"),
    may_freeze: bool = False,
    has_true_clocks: bool = True,
    exits: Sequence[int] = (),
    unfound: Collection[str] = (),
) -> Verdict:
    """
    Compare the three accounts.

    Args:
        journal: What clients were told.
        history: All runs by their id, as the history shows them.
        predictions: What the provider was asked for, as the emulator shows it.
        strikes: When servers were killed or frozen, in seconds since 1970.
        bound: How many seconds recovering from a strike may take.
        may_freeze: Whether a holder of runs was frozen past its lease; then a
            prediction may be made twice, and has to be canceled; on a busy machine it
            may have succeeded before.
        has_true_clocks: Whether what servers say about times can be believed.
        exits: With what those servers ended that were told to stop.
        unfound: Interrupted runs of which it cannot be known whether their provider was
            asked: they may end so, without text, and are counted.
    """
    verdict = Verdict(
        prompts=len(journal), resumed=sum(told.resumed for told in journal)
    )
    verdict.unclean += [
        f"a server that was told to stop ended with {status}"
        for status in exits
        if status
    ]
    runs_of: dict[str, list[str]] = defaultdict(list)
    for run_id, run in history.items():
        runs_of[run["prompt"]].append(run_id)
    made: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for prediction in predictions:
        made[prediction["input"].get("prompt")].append(prediction)
    for told in journal:
        run_ids, mine = runs_of[told.prompt], made[told.prompt]
        verdict.lost += _losses(told, history, unfound)
        verdict.interrupted += len(told.run_ids.intersection(unfound))
        verdict.twice += _repetitions(told, run_ids, mine, may_freeze=may_freeze)
        if len(mine) > 1:
            verdict.extra_canceled += sum(map(_is_given_up, mine))
        for run_id in run_ids:
            run = history[run_id]
            verdict.wrong += _lies(told, run, mine)
            if not has_true_clocks:
                continue
            verdict.wrong += _denials(told, run)
            took = _recovery(run, mine, strikes)
            verdict.slowest = max(verdict.slowest, took)
            if took > bound:
                verdict.slow.append(f"{run_id} took {took:.1f} s to recover")
    return verdict


def _losses(
    told: Told, history: Mapping[str, Mapping[str, Any]], unfound: Collection[str]
) -> Iterator[str]:
    if not told.run_ids:
        yield f"{told.prompt!r} was never accepted ({told.problem})"
    for run_id in told.run_ids:
        if run_id not in history:
            yield f"{run_id} was promised, and is not in the history"
        elif history[run_id]["prompt"] != told.prompt:
            yield f"{run_id} is not about what it was made for"
        elif (status := history[run_id]["status"]) not in FINAL:
            yield f"{run_id} has not ended: it is {status}"
        elif run_id in unfound and not history[run_id]["response"]:
            pass
        elif status != "succeeded" and not (told.is_canceled and status == "canceled"):
            yield f"{run_id} has {status}: {history[run_id]['error']}"


def _repetitions(
    told: Told,
    run_ids: Sequence[str],
    made: Sequence[Mapping[str, Any]],
    *,
    may_freeze: bool,
) -> Iterator[str]:
    if len({*run_ids, *told.run_ids}) > 1:
        yield f"one prompt became several runs: {sorted({*run_ids, *told.run_ids})}"
    extra = [one for one in made if not (may_freeze and _is_given_up(one))]
    if len(extra) > 1:
        found = [f"{one['id']} {one['status']}" for one in made]
        yield f"{[*run_ids]} has several predictions: {', '.join(found)}"
    for one in made:
        if one["status"] not in ENDED:
            yield f"{one['id']} goes on for nobody: it is {one['status']}"


def _is_given_up(prediction: Mapping[str, Any]) -> bool:
    """Return whether it was canceled, be it when it had just succeeded."""
    is_asked_to = bool(prediction.get("requests", {}).get("cancel"))
    return prediction["status"] == "canceled" or is_asked_to


def _lies(
    told: Told, run: Mapping[str, Any], made: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    run_id, text = run["id"], run["response"]
    answers = {"".join(one["output"] or ()) for one in made}
    if run["status"] == "succeeded":
        answers = {
            "".join(one["output"] or ()) for one in made if one["status"] == "succeeded"
        }
        if text not in answers:
            yield f"{run_id} says {text!r}, but the provider said {sorted(answers)}"
    elif text and not any(answer.startswith(text) for answer in answers):
        yield f"{run_id} kept {text!r}, but the provider said {sorted(answers)}"
    for one in told.texts:
        if one != text:
            yield f"{run_id} keeps {text!r}, but a client was told {one!r}"
    if told.status not in {None, run["status"]}:
        yield f"{run_id} is {run['status']}, but a client was told {told.status}"

    if run_id in told.missing:
        yield f"{run_id} is there, but a client was told that it is not"


def _denials(told: Told, run: Mapping[str, Any]) -> Iterator[str]:
    """Yield whether a client was told that nothing was stored when something was."""
    created = _seconds(run["created_at"]) + _ROUNDING
    if any(created < denied for denied in told.denied_at):
        yield f"{run['id']} was stored, but a client was told that nothing was"


def _recovery(
    run: Mapping[str, Any],
    made: Sequence[Mapping[str, Any]],
    strikes: Sequence[float],
) -> float:
    """
    Return the seconds from the last strike until the run's end was stored.

    What the provider worked on the prediction in that time is not counted.
    """
    if run["finished_at"] is None:
        return 0
    began, ended = _seconds(run["created_at"]), _seconds(run["finished_at"])
    last = max((strike for strike in strikes if began <= strike <= ended), default=None)
    if last is None:
        return 0
    needed = 0.0
    for one in made:
        if one["status"] == "succeeded":
            needed = _seconds(one["completed_at"])
            needed -= max(_seconds(one["created_at"]), last)
    return ended - last - max(needed, 0)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
