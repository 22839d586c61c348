"""Texts of which a client wants vectors, as the prompt of one run."""

import sys
from array import array
from collections.abc import Sequence
from typing import TypeAlias

from llamakeep.domain.messages import Message, Text, message_of

ALONE = "emb_"
"""
The prefix of the conversation's id of a run whose vectors are wanted: nothing follows
it, and no list of conversations has it.
"""

Vector: TypeAlias = "array[float]"
"""Made of a text: of the type `f`, or `d` if its server wrote decimals."""


def single_bytes(vector: Vector) -> bytes:
    """Return the numbers as OpenAI's API packs them: 32-bit floats, little-endian."""
    single = vector if vector.typecode == "f" else array("f", vector)
    return _little_endian(single).tobytes()


def vector_of(packed: bytes) -> Vector:
    """
    Return the numbers that `single_bytes` packed.

    Raises:
        ValueError: These are no whole numbers of 32 bits.
    """
    vector = array("f")
    vector.frombytes(packed)
    return _little_endian(vector)


def _little_endian(vector: Vector) -> Vector:
    """Swap the bytes of each number where this machine has them in another order."""
    if sys.byteorder == "big":  # pragma: no cover - no such machine runs the tests
        vector = array("f", vector)
        vector.byteswap()
    return vector


def prompt_of(texts: Sequence[str]) -> tuple[str, Message | None]:
    """
    Return texts as a prompt, and as a message if there are several.

    Each is a part, on lines of its own: all but the last have a line end more.
    """
    if len(texts) == 1:
        return texts[0], None
    parts = [*[Text(f"{text}\n") for text in texts[:-1]], Text(texts[-1])]
    message = message_of("user", parts)
    return message.content, message


def texts_of(prompt: Message) -> Sequence[str]:
    """Return the texts that `prompt_of` made a message of."""
    if not prompt.parts:
        return [prompt.content]
    *before, last = prompt.parts
    return [*[part.text[:-1] for part in before], last.text]
