"""Request bodies of predictions, with the input of Replicate's Llama models."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from llamakeep.api.http.problems import FIELD_MISSING
from llamakeep.api.openai.messages import ChatMessages, Said, read_instead_of_prompt
from llamakeep.api.prompts.reading import invalid
from llamakeep.api.webhooks.outgoing import WebhookUrl
from llamakeep.domain import NewRun, NotificationEvent, Parameters, Run
from llamakeep.schemas.bodies import Form
from llamakeep.schemas.fields import (
    MOST_TOKENS,
    Effort,
    Integer,
    MaxTokens,
    Number,
    Penalty,
    Seed,
    Temperature,
    TopK,
    TopP,
)
from llamakeep.schemas.text import SomeText, Text, check_json

SPELLINGS = {
    "system_prompt": ("system_prompt", "instructions", "system_instruction"),
    "max_tokens": (
        "max_tokens",
        "max_new_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_length",
    ),
    "min_tokens": ("min_tokens", "min_new_tokens", "min_length"),
    "stop_sequences": ("stop_sequences", "stop"),
}
"""Parameters and their synonyms, since models on Replicate use different names."""

MOST_STOPS = 16
_NAME = "output"
"""The name of a JSON schema that has none."""


def _only(neutral: float | bool | str, instead: str) -> AfterValidator:
    def check(value: Any) -> Any:
        if value not in {None, neutral}:
            raise ValueError(
                f"It cannot be honoured: {instead} Leave it out, or send "
                f"{json.dumps(neutral)}."
            )
        return value

    return AfterValidator(check)


def _never(instead: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value is not None:
            raise ValueError(f"{instead} Leave it out.")
        return value

    return check


def _check_stops(value: str) -> str:
    if len(_split(value)) > MOST_STOPS:
        raise ValueError(f"There are more than {MOST_STOPS} texts in it. Send fewer.")
    return value


MinTokens = Annotated[Integer, Field(ge=-1, le=MOST_TOKENS)]
Stops = Annotated[Text, AfterValidator(_check_stops)]
NoPenalty = Annotated[
    Number,
    _only(1, "use `presence_penalty` or `frequency_penalty`."),
]
NoLogs = Annotated[bool, _only(False, "there are no logs.")]
NoWebhook = Annotated[
    Any, AfterValidator(_never("Send `webhook` and `webhook_events_filter` instead."))
]


def _check_events(events: Sequence[str]) -> Sequence[str]:
    if "output" in events:
        raise ValueError(
            "Webhooks are not sent while the output comes. Leave `output` out, and "
            "follow the stream."
        )
    return events


WebhookEvents = Annotated[
    list[Literal["start", "output", "logs", "completed"]],
    AfterValidator(_check_events),
]


class PredictionInput(Form):
    """The model's input; unsupported parameters are refused by name."""

    prompt: SomeText | None = None
    """What you want to ask."""
    messages: ChatMessages | None = None
    """Instead of a prompt: messages as OpenAI's chat completions have them."""
    system_prompt: Text | None = None
    """How the model is to behave."""
    instructions: Text | None = None
    """The same as `system_prompt`."""
    system_instruction: Text | None = None
    """The same as `system_prompt`."""
    max_tokens: MaxTokens | None = None
    max_new_tokens: MaxTokens | None = None
    """The same as `max_tokens`."""
    max_completion_tokens: MaxTokens | None = None
    """The same as `max_tokens`."""
    max_output_tokens: MaxTokens | None = None
    """The same as `max_tokens`."""
    max_length: MaxTokens | None = None
    """The same as `max_tokens`."""
    min_tokens: MinTokens | None = None
    """Values below 1 are ignored."""
    min_new_tokens: MinTokens | None = None
    """The same as `min_tokens`."""
    min_length: MinTokens | None = None
    """The same as `min_tokens`."""
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop_sequences: Stops | None = None
    """Stop sequences, separated by commas: the output ends before them."""
    stop: Stops | None = None
    """The same as `stop_sequences`."""
    seed: Seed | None = None
    reasoning_effort: Effort | None = None
    """How much the model is to think, where that can be chosen: such as `low`."""
    verbosity: Effort | None = None
    """How much the model is to say, where that can be chosen: such as `low`."""
    json_schema: Annotated[dict[str, Any], AfterValidator(check_json)] | None = None
    """
    The JSON schema of the output; or, as OpenAI's models on Replicate take it, an
    object whose `format` has the `type`, `name` and `schema`.
    """
    prompt_template: (
        Annotated[
            str,
            _only(
                "",
                "every prompt is sent in its model's own form, with `system_prompt`.",
            ),
        ]
        | None
    ) = None
    """Has to be empty: the model's own template is used."""
    length_penalty: NoPenalty | None = None
    """Has to be 1, which is none."""
    repetition_penalty: NoPenalty | None = None
    """Has to be 1, which is none."""
    log_performance_metrics: NoLogs | None = None
    """Has to be false."""
    debug: NoLogs | None = None
    """Has to be false."""

    @model_validator(mode="after")
    def _spellings_agree(self) -> Self:
        for names in SPELLINGS.values():
            given = {getattr(self, name) for name in names} - {None}
            if len(given) > 1:
                raise ValueError(
                    f"{', '.join(names)} mean the same and differ. Send one of them."
                )
        return self

    def _any(self, spelled: str) -> Any:
        names = SPELLINGS[spelled]
        found = (getattr(self, name) for name in names)
        return next((value for value in found if value is not None), None)

    def asked(self, model: str) -> NewRun:
        """
        Return the prompt and its parameters for the engine.

        Raises:
            InvalidRequest: There is no prompt, or a message cannot be read.
            UnsupportedParameter: A message has something that no model can be told.
        """
        min_tokens = self._any("min_tokens")
        said = self._said()
        return NewRun(
            prompt=said.prompt,
            model=model,
            system_prompt=said.system_prompt,
            prior_messages=said.earlier,
            last_message=said.last_message,
            parameters=Parameters(
                max_tokens=self._any("max_tokens"),
                min_tokens=min_tokens if (min_tokens or 0) > 0 else None,
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                presence_penalty=self.presence_penalty,
                frequency_penalty=self.frequency_penalty,
                stop=_split(self._any("stop_sequences") or ""),
                seed=self.seed,
                response_format=_format(self.json_schema),
                reasoning_effort=self.reasoning_effort,
                verbosity=self.verbosity,
            ),
            source="predictions",
            # What clients wait for, they read again when it has ended.
            is_read_later=True,
        )

    def _said(self) -> Said:
        system_prompt: str | None = self._any("system_prompt")
        if self.messages is None:
            if self.prompt is None:
                raise invalid("input.prompt", FIELD_MISSING)
            return Said(self.prompt, system_prompt, ())
        return read_instead_of_prompt(
            self.messages,
            prompt=self.prompt,
            system_prompt=system_prompt,
            path="input.",
        )


class ModelPrediction(Form):
    """A prediction of the model in the path."""

    input: PredictionInput
    stream: bool | None = None
    """Ignored: every prediction can be streamed."""
    webhook: WebhookUrl | None = None
    """The URL to which webhooks are sent, if this server sends any."""
    webhook_completed: NoWebhook = None
    """Refused: it is an old name of `webhook`."""
    webhook_events_filter: WebhookEvents | None = None
    """
    `completed`, the default, and `start`. `logs` is ignored, since there are none;
    `output` is refused.
    """

    def notification_events(self) -> Sequence[NotificationEvent]:
        """Return the events of which webhooks are sent."""
        if self.webhook is None:
            return ()
        wanted = self.webhook_events_filter
        if wanted is None:
            return [NotificationEvent.END]
        known = (
            ("start", NotificationEvent.START),
            ("completed", NotificationEvent.END),
        )
        return [event for name, event in known if name in wanted]


class VersionPrediction(ModelPrediction):
    """A prediction of a version."""

    version: Annotated[Text, Field(min_length=1, max_length=256)]
    """`owner/name`, `owner/name:version`, or a version's id."""


def input_of(run: Run) -> dict[str, Any]:
    """Return the prompt and parameters of `run` as a prediction's input."""
    given = run.parameters.given()
    stop = given.pop("stop", None)
    if stop is not None:
        given["stop_sequences"] = ",".join(stop)
    if run.system_prompt is not None:
        given = {"system_prompt": run.system_prompt, **given}
    return {"prompt": run.prompt, **given}


def _format(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the response format that OpenAI's API has for a JSON schema."""
    if not given:
        return None
    match given.get("format"):
        case {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "json_object"}
    form: dict[str, Any] = {"name": _NAME, "schema": given}
    match given.get("format", given):
        case {"type": "json_schema", "schema": dict(schema), **more}:
            form = {"name": more.get("name", _NAME), "schema": schema}
    return {"type": "json_schema", "json_schema": form}


def _split(stops: str) -> tuple[str, ...]:
    return tuple(text for text in stops.split(",") if text)
