"""What was said before a prompt, as its model reads it."""

import json
from collections.abc import Sequence

from llamakeep.domain import Message, NewRun, Parameters, Part, Run, RunStatus, Text
from llamakeep.domain.messages import message_of
from llamakeep.domain.runs import CLIENT, brought_by, told_of, whole_length_of
from llamakeep.providers.prompted.tools import described
from llamakeep.storage import Storage

LITTLE = 16 * 1024
"""Characters that a run which waits may keep in memory of what it follows."""


def messages(run: NewRun | Run, prior: Sequence[Run]) -> Sequence[Message]:
    """Return what a provider is to read: what was said before, then the prompt."""
    said = [] if run.system_prompt is None else [Message("system", run.system_prompt)]
    if prior:
        said += said_before(prior)
    said.extend(run.prior_messages)
    said.append(run.last_message or Message("user", run.prompt))
    return tuple(said)


def said_before(prior: Sequence[Run]) -> Sequence[Message]:
    """Return what was said in some runs, oldest first, without system prompts."""
    said: list[Message] = []
    for one in prior:
        said.extend(one.prior_messages)
        if one.provider == CLIENT:
            add_message(said, one)
            continue
        said.append(one.last_message or Message("user", one.prompt))
        if one.response or one.output or one.status is RunStatus.SUCCEEDED:
            said.append(_answer(one, said))
    return said


def _answer(run: Run, said: list[Message]) -> Message:
    """Return the answer of a run, with the beginning that the client gave it."""
    if said[-1].role != "assistant":
        return Message("assistant", run.response, parts=run.output)
    begun = said.pop()
    parts = (Text(begun.content), *run.output) if run.output else ()
    return Message("assistant", begun.content + run.response, begun.name, parts)


def add_message(said: list[Message], added: Run) -> None:
    """Add what a client added to a conversation to what was said in it."""
    if not (added.prompt or added.last_message):
        return
    message = added.last_message or Message("user", added.prompt)
    before = said[-1] if said else None
    if (
        before is not None
        and before.role == message.role == "assistant"
        and (before.parts or message.parts)
    ):
        # An answer's items were added one by one: providers want it as one message.
        parts = [
            part
            for each in (before, message)
            for part in each.parts or (Text(each.content),)
        ]
        message = message_of("assistant", parts, before.name)
        said.pop()
    said.append(message)


def system_prompt_in(prior: Sequence[Run]) -> str | None:
    """Return the system prompt of the newest run that a model answered."""
    for one in reversed(prior):
        if one.provider != CLIENT:
            return one.system_prompt
    return None


def parts_of(asked: NewRun | Run) -> Sequence[Part]:
    """Return the parts of a request's messages that have more than text."""
    return [part for message in brought_by(asked) for part in message.parts]


def size_of(asked: NewRun | Run) -> int:
    """Return how many bytes the texts have that a prompt itself brings along."""
    texts = [text for one in brought_by(asked) for text in one.texts]
    length = len("".join((asked.prompt, asked.system_prompt or "", *texts)).encode())
    return length + size_of_tools(asked.parameters)


def size_of_tools(parameters: Parameters) -> int:
    """Return how many bytes the tools have as the model gets them."""
    told = told_of(parameters)
    if told.prompted_tools or told.prompted_format:
        return len(described(told).encode())
    return len(json.dumps(told.tools)) if told.tools else 0


def is_little(prior: Sequence[Run]) -> bool:
    """Return whether so many may have that in memory as there may be who wait."""
    return whole_length_of(prior) <= LITTLE


async def read_prior(storage: Storage, run: Run, *, most: int) -> Sequence[Run]:
    """Return the runs that `run` follows; with it, they have `most` bytes at most."""
    assert run.conversation_id is not None
    context = await storage.context(
        run.user_id,
        run.conversation_id,
        previous_run_id=run.previous_run_id,
        before=run.id,
        most=most - size_of(run),
    )
    return context.runs
