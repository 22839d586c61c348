"""OpenAI's legacy completions API: a prompt without messages."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Request, Response
from pydantic import BeforeValidator, Field

from llamakeep.api.dependencies import IdempotencyHeader, PromptingUser
from llamakeep.api.http.queries import Queries
from llamakeep.api.http.router import Router
from llamakeep.api.openai import choices
from llamakeep.api.openai.answering import answer
from llamakeep.api.openai.errors import COMPLETION_ERRORS
from llamakeep.api.openai.forms import LegacyCompletion
from llamakeep.api.openai.parameters import CompletionRequest
from llamakeep.api.prompts.reading import invalid
from llamakeep.domain import NewRun
from llamakeep.schemas.text import SomeText

router = Router(prefix="/v1/completions", tags=["openai"], queries=Queries.VENDORS)


def _listed(value: object) -> object:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise ValueError("It has to be a text or a list of texts: no numbers of tokens.")


class LegacyRequest(CompletionRequest):
    """A prompt, and how the model is to respond."""

    prompt: Annotated[
        list[SomeText],
        Field(min_length=1, max_length=choices.MOST),
        BeforeValidator(
            _listed,
            json_schema_input_type=str
            | Annotated[list[str], Field(min_length=1, max_length=choices.MOST)],
        ),
    ]
    """What you want to ask; of several prompts, each gets choices of its own."""

    def asked(self, extra_fields: Collection[str] = ()) -> NewRun:
        """Return the prompt and its parameters for the engine."""
        return NewRun(
            prompt=self.prompt[0],
            model=self.model,
            parameters=self.parameters(extra_fields),
            end_user=self.safety_identifier or self.user,
            source="completions",
            store=self.store is not False,
        )

    def several(self, asked: NewRun) -> Sequence[NewRun] | None:
        """Return all that is asked, if there is to be more than one choice."""
        count = self.n or 1
        if len(self.prompt) * count > choices.MOST:
            raise invalid(
                "n",
                f"The prompts have {len(self.prompt) * count} choices together; "
                f"{choices.MOST} are possible.",
            )
        if len(self.prompt) == 1:
            return super().several(asked)
        each = [replace(asked, prompt=prompt) for prompt in self.prompt]
        return [new for one in each for new in choices.alike(one, count)]


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
