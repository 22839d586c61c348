"""Summaries of conversations, as compaction items have them."""

from typing import Any

from llamakeep.api.prompts.reading import invalid, required_text
from llamakeep.domain import Text

PREFIX = "llamakeep:"
"""What the content of an item begins with that was made here; the summary follows."""

INSTRUCTION = (
    "Write a summary of this conversation. It will take the place of everything in it "
    "but the user's messages, so keep all that is needed to continue: what was "
    "decided, found and done, names, numbers and exact wordings that matter, what the "
    "calls of tools returned, what images show, and what is still to be done. Do not "
    "answer the user, and call no tools. Write only the summary."
)
"""What a model is asked for a summary."""

HEADING = "Summary of the conversation so far:\n\n"
"""What a model reads before the summary: it stands among the messages."""


def content_of(summary: str) -> str:
    """Return what a compaction item has as its `encrypted_content`."""
    return PREFIX + summary


def summary_in(content: Any, where: str) -> Text:
    """
    Return what a model reads in place of a compaction item.

    Raises:
        InvalidRequest: It is no item that was made here.
    """
    given = required_text(content, where)
    summary = given.removeprefix(PREFIX)
    if summary == given or not summary:
        raise invalid(
            where,
            "It is not of this server, which cannot read what others encrypted. Send "
            "the item as `POST /v1/responses/compact` returned it, or what was said "
            "instead of it.",
        )
    return Text(HEADING + summary)
