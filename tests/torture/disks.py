"""A disk that is full for a while."""

import errno
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PIECE = bytes(64 * 1024)
_NO_GROWTH = 4096
"""Bytes: a limit that every file of a database has reached."""


class SmallDisk:
    """
    A folder that can be filled.

    Args:
        folder: Where its files are.
        is_mounted: Whether it is a file system of its own. Without one, what makes
            it full is a limit on the size of the files that processes may write.
    """

    def __init__(self, folder: Path, *, is_mounted: bool) -> None:
        self.folder = folder
        self.is_mounted = is_mounted
        self._filler = folder / "filler"

    def fill(self, pids: Sequence[int] = ()) -> None:
        """Leave no room, to those processes at least."""
        if not self.is_mounted:
            for pid in pids:
                self._limit(pid, _NO_GROWTH)
            return
        with self._filler.open("ab", buffering=0) as file:
            for size in (len(_PIECE), 512):
                try:
                    while True:
                        file.write(_PIECE[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self, pids: Sequence[int] = ()) -> None:
        """Give the room back."""
        if not self.is_mounted:
            for pid in pids:
                self._limit(pid, resource.RLIM_INFINITY)
            return
        self._filler.unlink(missing_ok=True)

    def _limit(self, pid: int, size: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        if hard != resource.RLIM_INFINITY:
            size = hard if size == resource.RLIM_INFINITY else min(size, hard)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def small_disk(*, megabytes: int = 64) -> Iterator[SmallDisk]:
    """
    Yield a small disk.

    It is a tmpfs where this process may mount one, and else a folder whose files are
    limited.
    """
    # Not pytest's tmp_path: PostgreSQL's user may not enter that one.
    with tempfile.TemporaryDirectory(prefix="llamakeep-disk-") as name:
        folder = Path(name)
        options = f"size={megabytes}m,mode=0755"
        is_mounted = _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
        folder.chmod(0o755)
        try:
            yield SmallDisk(folder, is_mounted=is_mounted)
        finally:
            if is_mounted:
                _run("umount", "--lazy", folder)


def _run(*command: str | Path) -> bool:
    if os.geteuid() != 0:
        return False
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0
