"""What this process counts, and the places where it is noted."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple, Protocol

from llamakeep.metrics.families import (
    OTHER,
    Family,
    Kind,
    Series,
    Snapshot,
    snapshot_of,
)
from llamakeep.metrics.process import process_series

MOST_NOTED = 64
"""How many events are noted before they are summed up."""

MOST_MODELS = 100
"""How many models have series of their own; all others share one."""

# Bounds and names are those of OpenTelemetry's conventions.
_OPERATION_BOUNDS = tuple(0.01 * 2**power for power in range(14))
_FIRST_TOKEN_BOUNDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)
_TOKEN_BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_USAGE_BOUNDS = tuple(4.0**power for power in range(14))
_WAIT_BOUNDS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_COMMIT_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)

_GEN_AI = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
)

COMMITS = Family(
    "llamakeep_database_commit_duration_seconds",
    "Time of the write transactions that this server committed.",
    "histogram",
    bounds=_COMMIT_BOUNDS,
)
OPERATIONS = Family(
    "llamakeep_database_operations_total",
    "Writes that were committed; one commit may have several.",
)
BATCHES = Family(
    "llamakeep_database_batch_size",
    "Statements of several callers that PostgreSQL was sent at once.",
    "histogram",
    labels=("kind",),
    bounds=tuple(2**power for power in range(8)),
)
FALLBACKS = Family(
    "llamakeep_database_batch_fallbacks_total",
    "Statements that a batch did not do, so that each took a transaction of its own.",
    labels=("reason",),
)


class Tokens(Protocol):
    """What a completion took; `None` if the provider did not say."""

    @property
    def input_tokens(self) -> int | None: ...  # noqa: D102 - its name says it

    @property
    def output_tokens(self) -> int | None: ...  # noqa: D102 - same


class EndedRun(NamedTuple):
    """What is counted of a run whose end was stored."""

    is_embedding: bool
    provider: str
    model: str
    status: str
    error_code: str | None
    created_at: datetime
    started_at: datetime | None
    first_word_after: int | None
    """In microseconds."""
    finished_at: datetime | None
    usage: Tokens


_KIND = EndedRun._fields.index("created_at")
"""How many of the first fields runs have in common that are summed up together."""


def _values_of(runs: Sequence[Sequence[Any]]) -> Sequence[list[float]]:
    """Return what histograms get, in the order of `Metrics._add`."""
    found: Sequence[list[float]] = ([], [], [], [], [], [], [])
    whole, asked, waits, firsts, pauses, read, said = found
    for *_, created, began, first_word, ended, usage in runs:
        tokens = usage.output_tokens
        taken = None if ended is None else (ended - created).total_seconds()
        waited = 0.0
        if began is not None:
            if began is not created:
                waited = (began - created).total_seconds()
            waits.append(waited)
        if taken is not None:
            whole.append(taken)
            if began is not None:
                asked.append(taken - waited)
        if first_word is not None:
            first = first_word / 1_000_000
            firsts.append(first)
            if taken is not None and tokens is not None and tokens > 1:
                pauses.append((taken - first) / (tokens - 1))
        if usage.input_tokens is not None:
            read.append(usage.input_tokens)
        if tokens is not None:
            said.append(tokens)
    return found


class Metrics:
    """
    What this process counts.

    The ends of runs are too frequent to sum them up one by one: they are appended to
    `ended`, which `fold` empties.
    """

    def __init__(self) -> None:
        self.ended: list[Sequence[object]] = []
        """Of an `EndedRun` each; a plain tuple takes a third of the time."""
        self.collectors: list[Callable[[], Iterable[Series]]] = []
        """Return more series of this process, as of when they are called."""
        self._models: set[tuple[str, str]] = set()
        self._series: list[Series] = []
        self._request = self._new(
            "gen_ai_server_request_duration_seconds",
            "Time from a prompt's arrival to its stored end.",
            labels=(*_GEN_AI, "error_type"),
            bounds=_OPERATION_BOUNDS,
        )
        self._first_token = self._new(
            "gen_ai_server_time_to_first_token_seconds",
            "Time from a prompt's arrival to the first delta of its answer.",
            labels=_GEN_AI,
            bounds=_FIRST_TOKEN_BOUNDS,
        )
        self._per_token = self._new(
            "gen_ai_server_time_per_output_token_seconds",
            "Time per output token after the first one.",
            labels=_GEN_AI,
            bounds=_TOKEN_BOUNDS,
        )
        self._operation = self._new(
            "gen_ai_client_operation_duration_seconds",
            "Time from the last start of a run to its end at its provider.",
            labels=(*_GEN_AI, "error_type"),
            bounds=_OPERATION_BOUNDS,
        )
        self._usage = self._new(
            "gen_ai_client_token_usage",
            "Tokens of answers, as their providers report them.",
            labels=(*_GEN_AI, "gen_ai_token_type"),
            bounds=_USAGE_BOUNDS,
        )
        self._runs = self._new(
            "llamakeep_runs_total",
            "Runs that ended, by their final status.",
            labels=("gen_ai_provider_name", "status"),
        )
        self._waited = self._new(
            "llamakeep_run_wait_seconds",
            "Time that runs waited for their turn and for their provider.",
            bounds=_WAIT_BOUNDS,
        )
        self.taken_over = self._new(
            "llamakeep_runs_taken_over_total",
            "Unfinished runs that another process, or a failed task, had left.",
        )
        self.reattached = self._new(
            "llamakeep_runs_reattached_total",
            "Runs whose answer was fetched again at its provider, not asked for again.",
        )
        self.duplicates_avoided = self._new(
            "llamakeep_duplicate_creates_avoided_total",
            "Lost requests to providers whose answers were found, not asked for again.",
        )
        self.repeated = self._new(
            "llamakeep_idempotent_repetitions_total",
            "Requests whose Idempotency-Key had a run already.",
        )
        self.resumed = self._new(
            "llamakeep_streams_resumed_total",
            "Streams that continued where a client had stopped reading.",
        )
        self.webhooks = self._new(
            "llamakeep_webhook_tries_total",
            "Webhooks that were sent, by what became of the try.",
            labels=("outcome",),
        )
        for outcome in ("delivered", "failed", "given-up"):
            self.webhooks.add(outcome, amount=0)

    def _new(
        self,
        name: str,
        description: str,
        *,
        labels: Sequence[str] = (),
        bounds: Sequence[float] = (),
    ) -> Series:
        kind: Kind = "histogram" if bounds else "counter"
        series = Series(Family(name, description, kind, tuple(labels), bounds))
        self._series.append(series)
        return series

    async def collect(self) -> Sequence[Series]:
        """Return all series of this process as of now."""
        process = await asyncio.to_thread(process_series)  # it reads files
        self.fold()
        others = chain.from_iterable(each() for each in self.collectors)
        return [*self._series, *others, *process]

    async def count_all(self) -> Snapshot:
        """Return all numbers of this process, where it is the only one."""
        return snapshot_of(await self.collect())

    def fold(self) -> None:
        """Sum up what was noted; runs of one kind together, which is far quicker."""
        ended, self.ended[:] = self.ended[:], []
        kinds: dict[Sequence[object], list[Sequence[Any]]] = {}
        for fields in ended:
            kinds.setdefault(fields[:_KIND], []).append(fields)
        for runs in kinds.values():
            self._add(EndedRun(*runs[0]), runs)

    def _add(self, run: EndedRun, runs: Sequence[Sequence[Any]]) -> None:
        """Sum up runs that have everything up to `error_code` in common with one."""
        operation = "embeddings" if run.is_embedding else "chat"
        labels = operation, run.provider, self._model(run)
        failure = (*labels, run.error_code or "")
        self._runs.add(run.provider, run.status, amount=len(runs))
        whole, asked, waits, firsts, pauses, read, said = _values_of(runs)
        self._request.observe_all(failure, whole)
        self._operation.observe_all(failure, asked)
        self._waited.observe_all((), waits)
        self._first_token.observe_all(labels, firsts)
        self._per_token.observe_all(labels, pauses)
        self._usage.observe_all((*labels, "input"), read)
        self._usage.observe_all((*labels, "output"), said)

    def _model(self, run: EndedRun) -> str:
        """Return the model's name, unless a client may have made it up."""
        model = run.provider, run.model
        if model not in self._models:
            if run.status != "succeeded" or len(self._models) == MOST_MODELS:
                return OTHER
            self._models.add(model)
        return run.model
