"""The older completions: a prompt without messages, which is answered like one."""

from functools import partial
from typing import Annotated

from fastapi import Request, Response
from pydantic import BeforeValidator, Field

from llamakeep.api.dependencies import IdempotencyHeader, PromptingUser
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.http.text import SomeText
from llamakeep.api.openai.answering import CompletionCall, answer
from llamakeep.api.openai.errors import COMPLETION_ERRORS
from llamakeep.api.openai.forms import LegacyCompletion
from llamakeep.api.openai.parameters import CompletionRequest
from llamakeep.api.prompts.idempotency import key_of
from llamakeep.domain import Asked

router = Router(prefix="/v1/completions", tags=["openai"], queries=Queries.VENDORS)


def _only_text(value: object) -> object:
    """Return the one text of a list, as which some clients send it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    raise ValueError("It has to be one text: no list of several, and no numbers.")


class LegacyRequest(CompletionRequest):
    """A prompt, and how it is to be answered."""

    prompt: Annotated[
        SomeText,
        BeforeValidator(
            _only_text,
            json_schema_input_type=str
            | Annotated[list[str], Field(min_length=1, max_length=1)],
        ),
    ]
    """What you want to ask."""

    def asked(self) -> Asked:
        """
        Return what is asked for.

        Raises:
            InvalidRequest: There is a parameter that does not exist.
            UnsupportedParameter: Nobody here can honour something.
        """
        return Asked(prompt=self.prompt, model=self.model, parameters=self.parameters())


@router.prompts(
    "",
    response_class=Response,
    responses=COMPLETION_ERRORS
    | {
        200: {
            "description": "A `text_completion`, or several with a piece each.",
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
    Answer a prompt, as OpenAI's older API does.

    Whoever closes the connection cancels the run, unless the request had an
    `Idempotency-Key`; the prompt and the text so far stay in the history.
    """
    asked = body.asked()
    wanted = CompletionCall(
        asked=asked,
        form=partial(LegacyCompletion, includes_usage=body.includes_usage),
        is_streamed=bool(body.stream),
        idempotency_key=await key_of(request, idempotency_key, body, body.asked),
    )
    return await answer(request, user, wanted)
