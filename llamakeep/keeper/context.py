"""What was said before a prompt, as its model reads it."""

from collections.abc import Sequence

from llamakeep.domain import Message, Run


def thread(conversation: Sequence[Run], previous_run_id: str | None) -> Sequence[Run]:
    """
    Return the runs that a prompt follows, oldest first.

    A conversation may branch: who names a previous run follows that one, whatever it
    followed itself, and nothing else.

    Args:
        conversation: The answered runs that the prompt's conversation has.
        previous_run_id: The one that was named; without it, all are followed.
    """
    if previous_run_id is None:
        return conversation
    places = {run.id: place for place, run in enumerate(conversation)}
    found: list[Run] = []
    place = places.get(previous_run_id)
    while place is not None:
        run = conversation[place]
        found.append(run)
        if run.previous_run_id is None:
            found.extend(reversed(conversation[:place]))
            break
        place = places.get(run.previous_run_id)
    return found[::-1]


def messages(run: Run, earlier: Sequence[Run]) -> Sequence[Message]:
    """Return what a provider is to read: what was said before, then the prompt."""
    said = [] if run.system_prompt is None else [Message("system", run.system_prompt)]
    for one in earlier:
        said.extend(one.earlier)
        said.append(Message("user", one.prompt))
        said.append(Message("assistant", one.response))
    return (*said, *run.earlier, Message("user", run.prompt))
