"""
Measure what the page takes in Debian's Chromium, beside its budgets.

    python -m bench.page [visits long fast first idle server] [--rounds 11]

The server and the provider have one core, and the browser has the other. The
figures are in `docs/page.md`.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from bench.cores import pin_to_load_core
from bench.page import answers, conversations, serving, visits
from bench.page.place import Place, open_place
from bench.report import Table

PARTS: dict[str, Callable[[Place], Sequence[Table]]] = {
    "visits": visits.measure,
    "long": conversations.measure,
    "fast": answers.measure_fast,
    "first": answers.measure_first,
    "idle": visits.measure_idle,
    "server": serving.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=11)
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    pin_to_load_core()
    for name in chosen.parts or PARTS:
        began = time.monotonic()
        with open_place(chosen.rounds) as place:
            tables = PARTS[name](place)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        for table in tables:
            print(table.markdown(), flush=True)


if __name__ == "__main__":
    main()
