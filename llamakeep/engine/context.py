"""What was said before a prompt, as its model reads it."""

from collections.abc import Sequence

from llamakeep.domain import Message, NewRun, Run
from llamakeep.storage import Storage

LITTLE = 16 * 1024
"""Characters that a run which waits may keep in memory of what it follows."""


def messages(run: Run, prior: Sequence[Run]) -> Sequence[Message]:
    """Return what a provider is to read: what was said before, then the prompt."""
    said = [] if run.system_prompt is None else [Message("system", run.system_prompt)]
    for one in prior:
        said.extend(one.prior_messages)
        said.append(Message("user", one.prompt))
        said.append(Message("assistant", one.response))
    return (*said, *run.prior_messages, Message("user", run.prompt, run.prompt_name))


def size_of(asked: NewRun | Run) -> int:
    """Return how many bytes the texts have that a prompt itself brings along."""
    said = [one.content for one in asked.prior_messages]
    return len("".join((asked.prompt, asked.system_prompt or "", *said)).encode())


def is_little(prior: Sequence[Run]) -> bool:
    """Return whether so many may have that in memory as there may be who wait."""
    length = 0
    for one in prior:
        length += len(one.prompt) + len(one.response)
        length += sum(len(each.content) for each in one.prior_messages)
    return length <= LITTLE


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
