"""What was said before a prompt, as its model reads it."""

import json
from collections.abc import Sequence

from llamakeep.domain import Message, NewRun, Parameters, Part, Run
from llamakeep.domain.runs import length_of
from llamakeep.providers.prompted_tools import described
from llamakeep.storage import Storage

LITTLE = 16 * 1024
"""Characters that a run which waits may keep in memory of what it follows."""


def messages(run: Run, prior: Sequence[Run]) -> Sequence[Message]:
    """Return what a provider is to read: what was said before, then the prompt."""
    said = [] if run.system_prompt is None else [Message("system", run.system_prompt)]
    for one in prior:
        said.extend(one.prior_messages)
        said.append(prompt_of(one))
        said.append(Message("assistant", one.response, parts=one.output))
    last = run.last_message or Message("user", run.prompt)
    return (*said, *run.prior_messages, last)


def prompt_of(run: Run) -> Message:
    """Return the message that a run answers."""
    return run.last_message or Message("user", run.prompt)


def parts_of(run: Run) -> Sequence[Part]:
    """Return the parts that are not text of what a run adds to a conversation."""
    said = [part for message in run.prior_messages for part in message.parts]
    if run.last_message is not None:
        said.extend(run.last_message.parts)
    return [*said, *run.output]


def size_of(asked: NewRun | Run) -> int:
    """Return how many bytes the texts have that a prompt itself brings along."""
    said = [*asked.prior_messages]
    if asked.last_message is not None:
        said.append(asked.last_message)
    texts = [text for one in said for text in one.texts]
    length = len("".join((asked.prompt, asked.system_prompt or "", *texts)).encode())
    return length + size_of_tools(asked.parameters)


def size_of_tools(parameters: Parameters) -> int:
    """Return how many bytes a model is told about the tools that it may call."""
    if parameters.prompted_tools:
        return len(described(parameters).encode())
    return len(json.dumps(parameters.tools)) if parameters.tools else 0


def is_little(prior: Sequence[Run]) -> bool:
    """Return whether so many may have that in memory as there may be who wait."""
    return length_of(prior) <= LITTLE


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
