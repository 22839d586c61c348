"""
Measure llamakeep beside a bare pass-through, in one run.

    python -m bench [prompts ...] [--rounds 3] [--seconds 2]
        [--database FILE] [--write FILE] [--json FILE]

Without names, all parts are measured. One core serves, another one makes the load and
plays the provider. Rounds are interleaved, and medians are reported.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import logins, memory, prompts, reading, starts, streams
from bench.cores import allow_many_connections, pin_to_load_core
from bench.options import Options
from bench.report import Report, Section

PARTS: dict[str, Callable[[Options], Section]] = {
    "prompts": prompts.measure,
    "streams": streams.measure,
    "memory": memory.measure,
    "start": starts.measure,
    "logins": logins.measure,
    "history": reading.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--database", type=Path, help="a filled SQLite file")
    parser.add_argument("--write", type=Path, metavar="FILE", help="as Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="as JSON")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options = Options(chosen.rounds, chosen.seconds, chosen.database)
    pin_to_load_core()
    allow_many_connections()
    sections = []
    for name in chosen.parts or PARTS:
        began = time.monotonic()
        sections.append(PARTS[name](options))
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    report = Report(options.rounds, options.seconds, sections)
    if chosen.write:
        chosen.write.write_text(report.markdown())
    if chosen.json:
        chosen.json.write_text(report.json() + "\n")
    print(report.markdown())


if __name__ == "__main__":
    main()
