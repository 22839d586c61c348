"""Text that llama.cpp would read as control tokens, and how it stays text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from llamakeep.domain import Message
from llamakeep.errors import PromptRejected, ProviderAnswerInvalid
from llamakeep.http import Client
from llamakeep.providers.http import read_body, translated_errors

_WHO = "The embedded model"
_OK = 200
_MAX_TOKENS_BODY = 64 * 1024 * 1024
_MAY_BE_CONTROL = re.compile(r"[<\[]")
"""What control tokens begin with, or have in them, in every family of models."""
_SHORTEST = 3
_INVISIBLE = "\u200b"
_MOST_ROUNDS = 4


class PlainText:
    """
    Breaks up what users wrote that is a control token of the model.

    llama.cpp reads a prompt's control tokens wherever they stand: `<|im_end|>` in a
    user's text would end the user's turn. An invisible space after its first character
    makes it text again, which looks the same. What is stored stays as it was.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str,
        connect_timeout: float,
        silence_timeout: float,
    ) -> None:
        self._client = Client(
            base_url.removesuffix("/v1"),
            connect_timeout=connect_timeout,
            silence_timeout=silence_timeout,
            headers={"authorization": f"Bearer {api_key}"},
        )
        self._is_control: dict[str, bool] = {}

    async def messages(self, given: Sequence[Message]) -> Sequence[Message]:
        """
        Return messages of text alone that have no control tokens.

        Raises:
            PromptRejected: They cannot be broken up.
            ProviderError: llama.cpp cannot be asked.
        """
        return [
            replace(each, content=await self._plain(each.content)) for each in given
        ]

    async def count(self, given: Sequence[Message]) -> int:
        """
        Return how many tokens the model reads of messages of text alone.

        Raises:
            PromptRejected: They cannot be broken up.
            ProviderError: llama.cpp cannot be asked.
        """
        said = [
            {"role": each.role, "content": each.content}
            for each in await self.messages(given)
        ]
        match await self._post("/apply-template", {"messages": said}):
            case {"prompt": str(prompt)}:
                pass
            case _:
                raise ProviderAnswerInvalid(f"{_WHO} did not tell the prompt.")
        return len(await self._tokens(prompt, parse_special=True, add_special=True))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _plain(self, text: str) -> str:
        if not _MAY_BE_CONTROL.search(text):
            return text
        for _ in range(_MOST_ROUNDS):
            found = await self._control_tokens(text)
            if not found:
                return text
            for token in found:
                text = text.replace(token, token[0] + _INVISIBLE + token[1:])
        raise PromptRejected(
            "The prompt has control tokens of the embedded model that cannot be told "
            "apart from text. Take them out."
        )

    async def _control_tokens(self, text: str) -> Sequence[str]:
        tokens = await self._tokens(text, parse_special=True)
        pieces = {
            piece: token.get("id")
            for token in tokens
            if isinstance(piece := token.get("piece"), str)
            and len(piece) >= _SHORTEST
            and _MAY_BE_CONTROL.search(piece)
            and piece in text
        }
        for piece, number in pieces.items():
            if piece not in self._is_control:
                plain = await self._tokens(piece, parse_special=False)
                self._is_control[piece] = [each.get("id") for each in plain] != [number]
        return sorted(filter(self._is_control.__getitem__, pieces), key=len)[::-1]

    async def _tokens(
        self, text: str, *, parse_special: bool, add_special: bool = False
    ) -> Sequence[Mapping[str, Any]]:
        asked = {
            "content": text,
            "parse_special": parse_special,
            "add_special": add_special,
            "with_pieces": True,
        }
        match await self._post("/tokenize", asked):
            case {"tokens": list(tokens)}:
                return [each for each in tokens if isinstance(each, dict)]
        raise ProviderAnswerInvalid(f"{_WHO} did not tell the tokens of the prompt.")

    async def _post(self, path: str, asked: Mapping[str, Any]) -> Any:
        """Return what llama.cpp answers; `None` if that is no JSON."""
        with translated_errors(_WHO):
            post = self._client.send("POST", path, json=asked, keep_alive=False)
            async with post as response:
                body = await read_body(response, _MAX_TOKENS_BODY)
        try:
            return from_json(body) if response.status == _OK else None
        except ValueError:
            return None
