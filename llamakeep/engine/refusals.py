"""What is refused before a run begins, and what is said when the server stops."""

from llamakeep.domain import User
from llamakeep.errors import (
    InvalidRequest,
    OutcomeUnknown,
    RunCanceled,
    RunInterrupted,
    ServerStopping,
    UnknownModel,
)
from llamakeep.providers.base import Provider

MODEL_MISSING = (
    "This server wants each request to name its model (LLAMAKEEP_REQUIRE_MODEL). "
    "Nothing was stored. `GET /v1/models` lists those that there are."
)
"""The error of a request that names no model, where it has to."""


def model_missing() -> InvalidRequest:
    """Return the error of a request that names no model, where it has to."""
    return InvalidRequest.of("model", MODEL_MISSING)


def check_model(user: User, provider: Provider, model: str) -> None:
    """
    Refuse what the API key that `user` came in with may not ask.

    Raises:
        UnknownModel: It names what may be asked.
    """
    allowed = user.api_key.models if user.api_key else None
    if allowed is not None and f"{provider.name}:{model}" not in allowed:
        raise UnknownModel(
            f"This API key may not ask {provider.name}:{model}; nothing was stored. "
            f"It may ask: {', '.join(sorted(allowed))}."
        )


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


def canceled() -> RunCanceled:
    """Return what a run ends with that a client canceled."""
    return RunCanceled("The run was canceled; the text so far is kept.")


def interrupted() -> RunInterrupted:
    """Return what a run ends with that may not be run again."""
    return RunInterrupted(
        "The server stopped while the answer was coming. The text so far is kept; "
        "send the prompt again for a whole answer."
    )
