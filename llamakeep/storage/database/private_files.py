"""Files that only their owner may read."""

import logging
import os
import stat
from pathlib import Path
from typing import BinaryIO

OTHERS = stat.S_IRWXG | stat.S_IRWXO

log = logging.getLogger(__name__)


def with_suffix(path: Path, suffix: str) -> Path:
    """Return `path` with `suffix` appended to the name."""
    return path.with_name(path.name + suffix)


def without_links(path: Path) -> Path:
    """
    Return where symbolic links lead, whether there is a file or not.

    By two paths of one database, it would have two locks. SQLite follows links, too.
    """
    return Path(os.path.realpath(path))


def create_private(path: Path) -> BinaryIO:
    """Create a file that its owner alone may read, and open it for writing."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def keep_private(path: Path) -> None:
    """Remove other users' permissions from a file, or log that its owner has to."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # it does not exist yet, and will be created with the right mode
    if os.name == "nt" or not mode & OTHERS:
        return
    try:
        path.chmod(mode & ~OTHERS)
    except OSError as error:
        log.warning(
            "%s is open to other users of this computer (mode %04o), which cannot be "
            "changed: %s. Its owner has to do it: chmod 600",
            path,
            mode,
            error.strerror,
        )
    else:
        log.warning(
            "%s was open to other users of this computer (mode %04o); it is its "
            "owner's alone now",
            path,
            mode,
        )
