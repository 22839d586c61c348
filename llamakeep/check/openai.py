"""Whether an OpenAI-compatible server can be reached, and has its models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import SecretStr

from llamakeep.check.clocks import compare
from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.errors import (
    LlamaKeepError,
    ProviderAnswerInvalid,
    ProviderRateLimited,
    ProviderUnauthenticated,
)
from llamakeep.http import Client, HttpError
from llamakeep.http.address import without_secrets
from llamakeep.providers.openai.provider import OpenAIProvider
from llamakeep.providers.replicate.clock import RemoteClock

SILENCE = 5.0
"""Seconds that a provider may be silent before it answers for its models."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server, and what its settings are called in fixes."""

    about: str
    url: str
    key: SecretStr | None
    models: Sequence[str]
    connect_timeout: float
    silence_timeout: float
    fix_key: str
    base_url_name: str
    models_name: str
    who: str = "The OpenAI-compatible server"
    """At the start of a sentence."""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def check(self, now: Callable[[], datetime]) -> list[Finding]:
        """Return whether it lists the models in the settings."""
        secret = self.key.get_secret_value() if self.key else None
        provider = OpenAIProvider(
            self.url,
            api_key=secret,
            headers=self.headers,
            connect_timeout=self.connect_timeout,
            silence_timeout=min(self.silence_timeout, SILENCE),
            who=self.who,
        )
        about, fix_url = self.about, self._fix_url
        try:
            listed = await provider.models()
        except ProviderAnswerInvalid as error:
            judge = warning if self.models else failed
            found = [judge(about, error.detail, fix_url)]
        except LlamaKeepError as error:
            return [failed(about, error.detail, self._fix_of(error))]
        else:
            found = [self._judged(listed)]
        finally:
            await provider.close()
        authorization = {"authorization": f"Bearer {secret}"} if secret else {}
        headers = {**self.headers, **authorization}
        theirs = await _time_at(self.url, "/models", headers)
        if theirs is not None:
            found += compare(about, theirs, now(), whose=without_secrets(self.url))
        return found

    @property
    def _fix_url(self) -> str:
        return (
            f"Start that server, or correct {self.base_url_name}, with its /v1: "
            f"`curl {without_secrets(self.url)}/models` has to list models."
        )

    def _judged(self, listed: Sequence[str]) -> Finding:
        known = {*listed, *(name.removesuffix(":latest") for name in listed)}
        missing = [name for name in self.models if name not in known]
        if missing:
            some = ", ".join([*listed][:10])
            return warning(
                self.about,
                f"The server does not list {', '.join(missing)}.",
                f"Correct {self.models_name}: it lists {some}.",
            )
        if not self.models and not listed:
            return failed(
                self.about,
                "The server lists no model.",
                f"Load one there (`ollama pull llama3.2`), or set {self.models_name}.",
            )
        return ok(self.about, f"It takes the key, and lists {len(listed)} models.")

    def _fix_of(self, error: LlamaKeepError) -> str:
        match error:
            case ProviderUnauthenticated():
                return self.fix_key
            case ProviderRateLimited():
                return "Wait, or raise the limits of that account."
        return self._fix_url


async def _time_at(
    base_url: str, path: str, headers: Mapping[str, str]
) -> datetime | None:
    """Return the time in a response's `Date`, if it has one."""
    clock = RemoteClock()
    client = Client(
        base_url, connect_timeout=SILENCE, silence_timeout=SILENCE, headers=headers
    )
    try:
        async with client.send("GET", path, keep_alive=False) as response:
            clock.hear(response.header("date"))
    except (TimeoutError, HttpError):
        return None
    finally:
        await client.close()
    return clock.now()
