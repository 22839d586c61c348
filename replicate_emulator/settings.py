"""The emulator's settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, PositiveFloat, PositiveInt

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class EmulatorSettings(BaseModel):
    """How the emulator behaves while no rule says otherwise."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    api_token: str | None = Field(default=None, min_length=1)
    """The only API token that is accepted. Without it: any."""

    public_url: HttpUrl | None = None
    """The origin of the addresses in answers. Without it: the request's own."""

    start_delay: Seconds = 0.05
    """Seconds from creation to `processing`."""

    first_delay: Seconds = 0.1
    """Seconds from `processing` to the first delta."""

    gap: Seconds = 0.02
    """Seconds between two deltas."""

    words: PositiveInt = 1
    """How many words an echoed delta has."""

    clock_ahead: Annotated[float, Field(allow_inf_nan=False)] = 0
    """Seconds by which Replicate's clock is ahead of this machine's; behind below 0."""

    retention: Seconds = 3600
    """Seconds after its end at which a prediction's data is erased."""

    list_lag: Seconds = 0
    """Seconds after its creation at which a prediction appears in the list."""

    page_size: PositiveInt = 100
    """How many predictions a page of the list has."""

    min_cancel_after: Seconds = 5
    """The smallest `Cancel-After`, in seconds."""

    heartbeat: Seconds = 10
    """Seconds of silence after which a stream gets a comment; 0 for never."""

    linger: Seconds = 0
    """Seconds a stream stays open after `done`; Replicate's docs say 30."""

    stream_lifetime: Seconds = 300
    """Seconds after a prediction's end during which its stream can be replayed."""

    creates_per_minute: PositiveInt | None = None
    """Creates allowed per minute; Replicate allows 600. Without it: any."""

    requests_per_minute: PositiveInt | None = None
    """Other requests allowed per minute; Replicate allows 3000. Without it: any."""

    low_credit: bool = False
    """Allow six creates per minute, one at a time, as below five dollars of credit."""

    retry_after_header: bool = False
    """Send `Retry-After` with a 429 too; no recording of Replicate's shows one."""

    webhook_secret: str = Field(
        default="whsec_bGxhbWFrZWVwLWVtdWxhdG9yLXNlY3JldA==",
        pattern=r"^whsec_[A-Za-z0-9+/]+=*$",
    )
    """What webhooks are signed with: `whsec_` and standard base64."""

    webhook_interval: Seconds = 0.5
    """Seconds between two `output` or two `logs` webhooks of one prediction."""

    webhook_backoff: tuple[Seconds, ...] = (1, 2, 4, 8, 16, 30)
    """Seconds to wait before each repetition of a `completed` webhook that failed."""

    webhook_timeout: PositiveFloat = 10
    """Seconds a webhook's receiver may take."""

    official_models: tuple[
        Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")], ...
    ] = ()
    """More official language models, as `owner/name`, next to the built-in ones."""

    seed: int | None = None
    """Makes the `probability` of rules repeatable."""
