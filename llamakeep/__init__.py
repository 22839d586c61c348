"""A self-hosted prompt API that keeps everything."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "run_llama"]


def __getattr__(name: str) -> Any:
    """Import `run_llama` when it is asked for: it brings the providers along."""
    if name == "run_llama":
        from llamakeep.one_shot import run_llama  # noqa: PLC0415

        return run_llama
    raise AttributeError(name)
