"""
The script of a worker process, which `child` starts.

    python -P start.py CHANNEL LISTENER [METRICS]

These are file descriptors of sockets. Standard input has one line of JSON
(`WorkerConfig`), and stays open until the parent ends in whatever way.
"""

import json
import os
import sys


def main() -> None:
    """Read the configuration, and run the worker."""
    line = b""
    while not line.endswith(b"\n"):
        # Unbuffered, since the thread that waits for the parent's end would lock
        # `sys.stdin`.
        piece = os.read(0, 65536)
        if not piece:
            sys.exit(1)
        line += piece
    config = json.loads(line)
    sys.path[:] = config["import_path"]

    from llamakeep.garbage import disable_gc  # noqa: PLC0415 - needs sys.path

    disable_gc()  # most of a start is imports

    from llamakeep.workers.config import WorkerConfig  # noqa: PLC0415 - needs sys.path
    from llamakeep.workers.worker import work  # noqa: PLC0415 - needs sys.path

    channel, *listeners = map(int, sys.argv[1:])
    work(WorkerConfig(**config), channel=channel, listeners=listeners)


if __name__ == "__main__":
    main()
