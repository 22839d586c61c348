"""What is refused, and what clients are told of runs that did not succeed."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

from llamakeep import errors
from llamakeep.domain import Run, RunStatus
from llamakeep.errors import (
    InvalidRequest,
    OutcomeUnknown,
    ProviderTimeout,
    RunCanceled,
    RunInterrupted,
    ServerStopping,
    StorageUnavailable,
    TextNotKept,
)

MODEL_MISSING = (
    "This server wants each request to name its model (LLAMAKEEP_REQUIRE_MODEL). "
    "Nothing was stored. `GET /v1/models` lists those that there are."
)
"""The error of a request that names no model, where it has to."""


def model_missing() -> InvalidRequest:
    """Return the error of a request that names no model, where it has to."""
    return InvalidRequest.of("model", MODEL_MISSING)


def unreadable_later() -> InvalidRequest:
    """Return what is said to a prompt whose answer is erased before it is read."""
    return InvalidRequest.of(
        "store",
        "What runs in the background is read after its end, when texts that are not to "
        "be stored are erased; that is what this request, API key or user wants. "
        "Nothing was stored. Wait for the answer or stream it, on another path if this "
        "one cannot, or have it stored.",
    )


def check_is_kept(run: Run) -> None:
    """
    Refuse to read the text of a run that has succeeded and was not to be stored.

    Raises:
        TextNotKept: It names the run.
    """
    if run.status is RunStatus.SUCCEEDED and not run.store:
        raise text_not_kept(run)


def text_not_kept(run: Run) -> TextNotKept:
    """Return what is said to those who read a run's text after it was erased."""
    error = TextNotKept(
        f"The run {run.id!r} has succeeded, and its texts are erased since then: they "
        "were not to be stored. Its tokens and its cost are kept. For another answer, "
        "send the prompt again, under another Idempotency-Key if it has one."
    )
    error.run_id = run.id
    return error


def stopping() -> ServerStopping:
    """Return what is said to a prompt that was not stored."""
    return ServerStopping(
        "The server is shutting down; nothing was stored. Try again soon.",
        retry_after=5,
    )


def stopped_in_between() -> OutcomeUnknown:
    """Return what is said to a prompt that was being stored."""
    return OutcomeUnknown(
        "The server is shutting down, and it is not known whether this prompt was "
        "stored. Look for it in your history, or send it again under the same "
        "Idempotency-Key.",
        retry_after=5,
    )


def stopped() -> ServerStopping:
    """Return what is said to those who follow a run that is another server's."""
    return ServerStopping(
        "The server has stopped. The run is kept, and can be followed when it is back.",
        retry_after=5,
    )


@contextmanager
def reading(run: Run) -> Iterator[None]:
    """
    Say of a run that cannot be read just now that it is kept.

    Raises:
        StorageUnavailable: It names the run.
    """
    try:
        yield
    except StorageUnavailable as failure:
        error = StorageUnavailable(
            f"The prompt is kept as {run.id}; what becomes of it can be read when the "
            f"database works again. {failure.reason}",
            retry_after=failure.retry_after,
        )
        error.run_id = run.id
        raise error from failure


def _kept_so_far(run: Run) -> str:
    """Return how a sentence ends about a run that did not come to its end."""
    return "; the text so far is kept" if run.store else ""


def canceled(run: Run) -> RunCanceled:
    """Return what a run ends with that a client canceled."""
    return RunCanceled(f"The run was canceled{_kept_so_far(run)}.")


def timed_out(run: Run, seconds: float) -> ProviderTimeout:
    """Return what a run ends with that takes too long."""
    return ProviderTimeout(
        f"The run was not done after {seconds:g} seconds{_kept_so_far(run)}."
    )


def interrupted(run: Run) -> RunInterrupted:
    """Return what a run ends with that may not be run again."""
    if run.parameters.embedding is not None:
        return RunInterrupted(
            "The server stopped before it had the vectors, which are not kept. The "
            "texts are; send the request again for their vectors."
        )
    return RunInterrupted(
        f"The server stopped while the answer was coming{_kept_so_far(run)}. "
        "Send the prompt again for a whole answer."
    )


def begun_anew() -> RunInterrupted:
    """Return what ends a stream that cannot take back what it said."""
    return RunInterrupted(
        "The server had to begin the answer again, so what came so far is not its "
        "beginning, and nothing more is sent. The run continues, and its whole text is "
        "kept."
    )


def raise_for_status(run: Run) -> None:
    """
    Raise what became of a run that is over, unless it succeeded.

    Raises:
        LlamaKeepError: It names the run, which is kept with the text that arrived.
    """
    if run.status is RunStatus.SUCCEEDED:
        return
    if run.failure is not None:
        error = copy(run.failure)  # many clients may wait, each for one of its own
    else:
        error = errors.from_code(run.error_code, run.error_detail)
    error.run_id = run.id
    if not run.store:
        error.detail += " (Its texts were not to be stored, and are erased.)"
    raise error
