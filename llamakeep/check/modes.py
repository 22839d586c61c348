"""Whether files with secrets, and the database, are closed to other users."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from llamakeep.check.finding import Finding, failed, ok, warning
from llamakeep.storage.database.private_files import OTHERS
from llamakeep.storage.database.sqlite import files_of

ABOUT = "files"
GIVEN_OUT = (Path("/run"), Path("/var/run"))
"""Where Docker, Kubernetes and systemd put secrets, with modes of their own."""


def check_modes(database: Path | None, secrets: Iterable[Path]) -> list[Finding]:
    """Return which files other users of this computer can read; it blocks."""
    if os.name == "nt":
        return []
    files = [] if database is None else filter(Path.is_file, files_of(database))
    found = [*_open_to_others(files, "has all prompts and answers")]
    found += _open_to_others(secrets, "has a secret")
    if database is not None and database.exists():
        found += _owner(database)
    if database is not None and database.absolute().parent.is_dir():
        found += _folder(database.absolute().parent)
    return found or [ok(ABOUT, "Other users can read neither secrets nor texts.")]


def _open_to_others(files: Iterable[Path], why: str) -> list[Finding]:
    found = []
    for path in files:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & OTHERS and not any(each in path.parents for each in GIVEN_OUT):
            said = f"{path} {why}, and is open to other users (mode {mode:04o})."
            found.append(warning(ABOUT, said, f"Run `chmod 600 {path}`."))
    return found


def _owner(database: Path) -> list[Finding]:
    owner, ours = database.stat().st_uid, os.geteuid()
    if owner == ours:
        return []
    return [
        warning(
            ABOUT,
            f"{database} belongs to the user {owner}, and this command runs as "
            f"{ours}: what it may do says nothing about the server.",
            f"Run `llamakeep check` as the server's user: `sudo -u '#{owner}' …`, or "
            "chown the file to the user that runs llamakeep.",
        )
    ]


def _folder(folder: Path) -> list[Finding]:
    mode = folder.stat().st_mode
    if not mode & stat.S_IWOTH or mode & stat.S_ISVTX:
        return []
    said = f"{folder} can be written by all users: they can replace the database."
    return [failed(ABOUT, said, f"Run `chmod o-w {folder}`.")]
