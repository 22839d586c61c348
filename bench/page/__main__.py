"""
Measure what the page takes in Debian's Chromium, beside its budgets.

    python -m bench.page [visits long fast first idle server] [--rounds 11]

The server and the provider have one core, and the browser has the other. The
figures are in `docs/page.md`.
"""

from collections.abc import Callable, Sequence

from bench.cores import pin_to_load_core
from bench.page import answers, conversations, serving, visits
from bench.page.place import Place, open_place
from bench.parts import parser_of, timed
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
    chosen = parser_of("bench.page", __doc__, PARTS, rounds=11).parse_args()
    pin_to_load_core()
    for name in timed(chosen.parts or PARTS):
        with open_place(chosen.rounds) as place:
            tables = PARTS[name](place)
        for table in tables:
            print(table.markdown(), flush=True)


if __name__ == "__main__":
    main()
