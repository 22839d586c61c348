"""
Write `docs/reference` from the program, or with `--check` only say what is stale.

`problems.md` comes from the error tree, `settings.md` from the settings, `openapi.json`
from the routes.
"""

import inspect
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from llamakeep import errors
from llamakeep.app import create_app
from llamakeep.schemas.bodies import docstrings_of
from llamakeep.schemas.problem import urn
from llamakeep.settings import Settings
from llamakeep.settings.database import DatabaseSettings
from llamakeep.settings.observing import ObservingSettings
from llamakeep.settings.secret_files import is_secret
from llamakeep.settings.signing_in import SignInSettings

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
WRITTEN_BY = "<!-- Written by scripts/write_reference.py. Change the code instead. -->"

PROBLEMS = f"""\
{WRITTEN_BY}

# Problems

Every error of llamakeep's own API is a JSON object of the media type
`application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

- `type` names the kind of problem and never changes.
- `title` is the same for all problems of that kind.
- `status` repeats the HTTP status.
- `detail` says what happened this time, and what to do.
- `run_id` is there when the prompt is kept although something went wrong: the run is in
  the history.
- `errors` lists the fields of a request that is not valid, each as
  `{{"field": …, "message": …}}`.

With the header `Retry-After`, trying again after so many seconds makes sense. In a
stream that has begun, the same object is the data of an `error` event. A run that
failed has the last part of `type`, and the `detail`, in its `error`.

Wrong paths are `{urn("not-found")}`, wrong methods
`{urn("method-not-allowed")}`. A bug is
`{urn("internal-error")}` (500), and the server's log says more.

| type | status | title | when |
|---|---|---|---|
"""

SETTINGS = f"""\
{WRITTEN_BY}

# Settings

Every setting is an environment variable, or a line of the file `.env` in the folder
where the server is started. An empty value counts as none.

What is marked as secret may be in a file instead, whose name is in the variable with
`_FILE` behind its name: `LLAMAKEEP_OPENAI_API_KEY_FILE=/run/secrets/openai`.

"""


def main() -> int:
    """Return 1 when something is stale and was only to be checked."""
    is_check = sys.argv[1:] == ["--check"]
    stale = [path for path, text in pages().items() if read(path) != text]
    for path in stale:
        print(f"{path.name} is stale: python scripts/write_reference.py writes it.")
        if not is_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path], encoding="utf-8")
    return int(is_check and bool(stale))


def pages() -> dict[Path, str]:
    """Return what each page has to be."""
    return {
        REFERENCE / "problems.md": problems(),
        REFERENCE / "settings.md": settings(),
        REFERENCE / "openapi.json": openapi(),
    }


def problems() -> str:
    """Return one row for each error that can occur, in the order of the tree."""
    rows = []
    for error in dict.fromkeys(errors.walk()):
        when = " ".join(inspect.cleandoc(error.__doc__ or "").split())
        code = f"`{urn(error.code)}`"
        rows.append(f"| {code} | {int(error.status)} | {error.title} | {when} |")
    return PROBLEMS + "\n".join(rows) + "\n"


def settings() -> str:
    """Return one section for each setting: the database's, the class's, its bases'."""
    sections = []
    said = docstrings_of(DatabaseSettings) | docstrings_of(Settings)
    said |= docstrings_of(ObservingSettings) | docstrings_of(SignInSettings)
    order = [*said]
    fields = Settings.model_fields
    for name in sorted(fields, key=order.index):
        field = fields[name]
        default = field.get_default(call_default_factory=True)
        shown = (
            "none" if default in (None, ()) else f"`{json.dumps(default, default=str)}`"
        )
        secret = " Secret." if is_secret(name, field) else ""
        sections.append(
            f"## `LLAMAKEEP_{name.upper()}`\n\n"
            f"{said.get(name, '')}\n\n"
            f"Default: {shown}.{secret}\n"
        )
    return SETTINGS + "\n".join(sections)


def openapi() -> str:
    """Return the document that the server shows at `/openapi.json`."""
    document = create_app(Settings.model_construct()).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> str | None:
    """Return a page as it is, if it is there."""
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
