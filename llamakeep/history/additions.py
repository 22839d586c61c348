"""Messages that a client adds to a conversation, as they are kept."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from llamakeep.domain import (
    Image,
    Message,
    Run,
    RunStatus,
    User,
    later_id,
    new_id,
    utc_now,
)
from llamakeep.domain.messages import images_in, without_data
from llamakeep.domain.runs import CLIENT
from llamakeep.storage.runs.steps import conversation_of

_MODEL = "none"


def beginning(user: User, metadata: Mapping[str, str]) -> Run:
    """Return what begins a conversation that has no messages yet."""
    run_id = new_id("run_")
    return _run(user, run_id, conversation_of(run_id), metadata=metadata)


def additions(
    user: User, messages: Sequence[Message], *, conversation_id: str, after: str
) -> Sequence[Run]:
    """
    Return what keeps messages, in their order.

    Args:
        user: The owner.
        messages: The messages.
        conversation_id: The conversation that they are added to.
        after: The newest run in there.
    """
    added: list[Run] = []
    for message in messages:
        after = later_id(new_id("run_"), after)
        is_plain = message == Message("user", message.content) and message.content
        images = {image.sha256: image for image in images_in([message])}
        images.pop(None, None)  # those with an address elsewhere
        added.append(
            _run(
                user,
                after,
                conversation_id,
                prompt=message.content,
                last_message=None if is_plain else without_data(message),
                images=tuple(images.values()),
            )
        )
    return added


def _run(
    user: User,
    run_id: str,
    conversation_id: str,
    *,
    prompt: str = "",
    last_message: Message | None = None,
    images: Sequence[Image] = (),
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    now = utc_now()
    return Run(
        id=run_id,
        user_id=user.id,
        api_key_id=user.api_key.id if user.api_key else None,
        status=RunStatus.SUCCEEDED,
        attempt=1,
        provider=CLIENT,
        model=_MODEL,
        prompt=prompt,
        last_message=last_message,
        images=images,
        conversation_id=conversation_id,
        metadata=dict(metadata),
        source="conversations",
        created_at=now,
        finished_at=now,
    )
