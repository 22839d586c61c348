"""Compaction: a conversation becomes its user messages and a summary."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from llamakeep.api.openai.parameters import (
    IGNORED_EVERYWHERE,
    ServiceTier,
    refuse_unsupported,
)
from llamakeep.api.openai.responses.items import items_sent, with_origin
from llamakeep.api.openai.responses.rendering import RESPONSE, usage_of
from llamakeep.api.openai.responses.request import INPUT_SCHEMA, ResponseRequest, few
from llamakeep.api.openai.responses.summaries import INSTRUCTION, content_of
from llamakeep.api.prompts.ids import id_of
from llamakeep.api.prompts.reading import invalid
from llamakeep.domain import NewRun, Refusal, Run, User
from llamakeep.engine.context import said_before
from llamakeep.errors import ProviderAnswerInvalid
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import ModelName
from llamakeep.schemas.text import Text
from llamakeep.services import Services

COMPACTION = "cmp_"
"""The prefix of an item's id."""
_CUT = ("length", "content_filter")
"""Why an answer ended that is not whole."""


class CompactRequest(Form):
    """What is to be compacted, and who makes the summary."""

    model_config = ConfigDict(extra="allow")

    input: Annotated[Any, AfterValidator(few), WithJsonSchema(INPUT_SCHEMA)] = None
    """What was said: a text, or items; after what `previous_response_id` names."""
    model: ModelName | None = None
    """What writes the summary: one of `/v1/models`; by default, the server's."""
    instructions: Text | None = None
    """The system prompt for the summary."""
    previous_response_id: Annotated[str, Field(max_length=64)] | None = None
    """A response, to be compacted with all that it continues."""
    service_tier: ServiceTier | None = None

    def summary_request(self) -> ResponseRequest:
        """
        Return the request for the response that is the summary.

        Raises:
            InvalidRequest: A parameter is unknown, or there is nothing to compact.
            UnsupportedParameter: This server does not support a parameter's value.
        """
        refuse_unsupported(self.model_extra or {}, ignored=IGNORED_EVERYWHERE, only={})
        given = self.input
        if isinstance(given, str):
            given = [{"role": "user", "content": given}]
        if not isinstance(given, list | None):
            raise invalid("input", "It has to be a text, or a list of items.")
        if not (given or self.previous_response_id):
            raise invalid(
                "input",
                "There is nothing to compact. Send the items of the conversation, or "
                "its last response as `previous_response_id`.",
            )
        return ResponseRequest.model_construct(
            input=[*(given or ()), {"role": "user", "content": INSTRUCTION}],
            model=self.model,
            instructions=self.instructions,
            previous_response_id=self.previous_response_id,
            service_tier=self.service_tier,
        )


async def with_context(new: NewRun, services: Services, user: User) -> NewRun:
    """
    Return a request that brings along what it continues.

    So its run is in a conversation of its own, and what follows the same response does
    not read it.

    Raises:
        ContextTooLarge: It is more than a model is given.
        InvalidRequest: A call of a tool lacks its output, or an output its call.
        RunNotAnswered: It continues a response that has no answer.
        RunNotFound: The user has no such response.
    """
    if new.previous_run_id is None:
        return new
    context = await services.storage.context(
        user.id,
        None,
        previous_run_id=new.previous_run_id,
        most=services.settings.max_context_size,
    )
    prior = context.runs
    if new.check_followed is not None:
        new.check_followed(prior)
    return replace(
        new,
        previous_run_id=None,
        check_followed=None,
        prior_messages=(*said_before(prior), *new.prior_messages),
    )


def compaction_of(asked: Run, answered: Run, origin: str) -> dict[str, Any]:
    """
    Return a conversation in its compacted form.

    Args:
        asked: The run that has what was said.
        answered: The same run, with its answer.
        origin: How the addresses of images begin.

    Raises:
        ProviderAnswerInvalid: The answer is no whole summary.
    """
    _check_usual(answered)
    item = {
        "id": id_of(asked, COMPACTION),
        "type": "compaction",
        "encrypted_content": content_of(answered.response),
    }
    return {
        "id": id_of(asked, RESPONSE),
        "object": "response.compaction",
        "created_at": int(asked.created_at.timestamp()),
        "output": [*_kept(asked, origin), item],
        "usage": usage_of(answered.usage),
    }


def _kept(run: Run, origin: str) -> Iterator[dict[str, Any]]:
    """Yield the messages that stay: those of the user and of the client's program."""
    *before, _ = items_sent(run)  # the last one asks for the summary
    for item in before:
        if item["type"] != "message" or item["role"] == "assistant":
            continue
        content = item["content"]
        if not run.store:  # its images are erased with it
            content = [part for part in content if part["type"] == "input_text"]
        if content:
            yield with_origin(item | {"content": content}, origin)


def _check_usual(run: Run) -> None:
    """
    Check that the answer of a run is a summary.

    Raises:
        ProviderAnswerInvalid: It names the run.
    """
    is_refused = any(isinstance(item, Refusal) for item in run.output)
    if run.finish_reason in _CUT:
        fault = f"The summary was cut off ({run.finish_reason})"
    elif is_refused or not run.response.strip():
        fault = "The model wrote no summary"
    else:
        return
    error = ProviderAnswerInvalid(
        f"{fault}, so nothing was compacted. Try again with another `model`."
    )
    error.run_id = run.id
    raise error
