"""
The script that a worker process runs; started by `child`.

    python -P start.py CHANNEL LISTENER

Both are numbers of open sockets. Standard input: one line of JSON (`WorkerConfig`),
then nothing until the parent has ended, by whatever signal.
"""

import json
import os
import sys


def main() -> None:
    """Become a worker."""
    line = b""
    while not line.endswith(b"\n"):
        # Not through a buffer, which whoever waits for the parent's end would lock.
        piece = os.read(0, 65536)
        if not piece:
            sys.exit(1)
        line += piece
    orders = json.loads(line)
    sys.path[:] = orders["import_path"]

    from llamakeep.garbage import disable_gc  # noqa: PLC0415 - now it is found

    disable_gc()  # most of a start is imports

    from llamakeep.workers.config import WorkerConfig  # noqa: PLC0415 - now it is found
    from llamakeep.workers.worker import work  # noqa: PLC0415 - now it is found

    channel, listener = map(int, sys.argv[1:])
    work(WorkerConfig(**orders), channel=channel, listener=listener)


if __name__ == "__main__":
    main()
