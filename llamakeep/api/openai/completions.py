"""OpenAI's legacy completions API: a prompt without messages."""

from collections.abc import Collection
from typing import Annotated

from fastapi import Request, Response
from pydantic import BeforeValidator, Field

from llamakeep.api.dependencies import IdempotencyHeader, PromptingUser
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.openai.answering import answer
from llamakeep.api.openai.errors import COMPLETION_ERRORS
from llamakeep.api.openai.forms import LegacyCompletion
from llamakeep.api.openai.parameters import CompletionRequest
from llamakeep.domain import NewRun
from llamakeep.schemas.text import SomeText

router = Router(prefix="/v1/completions", tags=["openai"], queries=Queries.VENDORS)


def _only_text(value: object) -> object:
    # Some clients send a list with a single prompt.
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    raise ValueError("It has to be one text: no list of several, and no numbers.")


class LegacyRequest(CompletionRequest):
    """A prompt, and how the model is to respond."""

    prompt: Annotated[
        SomeText,
        BeforeValidator(
            _only_text,
            json_schema_input_type=str
            | Annotated[list[str], Field(min_length=1, max_length=1)],
        ),
    ]
    """What you want to ask."""

    def asked(self, extra_fields: Collection[str] = ()) -> NewRun:
        """Return the prompt and its parameters for the engine."""
        return NewRun(
            prompt=self.prompt,
            model=self.model,
            parameters=self.parameters(extra_fields),
            end_user=self.safety_identifier or self.user,
            source="completions",
            store=self.store is not False,
        )


@router.prompts(
    "",
    response_class=Response,
    responses=COMPLETION_ERRORS
    | {
        200: {
            "description": "A `text_completion`; with `stream`, one for each delta.",
            "content": {"application/json": {}, "text/event-stream": {}},
        }
    },
)
async def create(
    body: LegacyRequest,
    request: Request,
    user: PromptingUser,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """
    Create a completion, as with OpenAI's legacy API.

    Closing the connection cancels the run, unless the request had an `Idempotency-Key`;
    the prompt and the text so far stay in the history.
    """
    return await answer(request, user, body, LegacyCompletion, idempotency_key)
