"""What a worker is told before it starts."""

from pathlib import Path

from pydantic import SecretStr

from llamakeep.domain.rates import Rate
from llamakeep.settings import Settings
from llamakeep.workers.config import pack, unpack


def test_a_worker_has_the_settings_of_its_parent_with_their_secrets(
    settings: Settings, tmp_path: Path
) -> None:
    given = Settings(
        database_url="postgresql://engine:secret@host/name",
        replicate_api_token=SecretStr("r8_secret"),
        openai_models=("one", "two"),
        webhook_networks=("10.1.0.0/16",),  # type: ignore[arg-type] # as in the environment
        rate_limit=(Rate(10, 1), Rate(1000, 86400)),
        user_limits={"dollars_per_day": "0.10"},  # type: ignore[arg-type] # same
        prices={"openai:one": {"input": "0.2", "output": "0.8"}},  # type: ignore[dict-item] # same
        public_url="https://example.com/keep",  # type: ignore[arg-type] # same
        local_model=Path("own.gguf"),
        max_body_size="2MiB",  # type: ignore[arg-type] # same
        workers=3,
    )
    (tmp_path / ".env").write_text(
        "LLAMAKEEP_MAX_RUNNING=1\nREPLICATE_API_TOKEN=r8_x\n"
    )

    packed = pack(given)

    assert unpack(packed) == given
    assert unpack(pack(settings)) == settings


def test_a_worker_does_not_look_at_a_file_that_was_changed_meanwhile(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("LLAMAKEEP_MAX_RUNNING=1\n")

    assert unpack(pack(settings)).max_running == settings.max_running
