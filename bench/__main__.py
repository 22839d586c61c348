"""
Measure llamakeep beside a bare pass-through, in one run.

    python -m bench [prompts ...] [--rounds 3] [--seconds 2]
        [--database FILE] [--write FILE] [--json FILE]

Without names, all parts are measured. One core serves, another one makes the load and
plays the provider. Rounds are interleaved, and medians are reported.
"""

from collections.abc import Callable
from pathlib import Path

from bench import logins, memory, prompts, reading, starts, streams
from bench.cores import allow_many_connections, pin_to_load_core
from bench.options import Options
from bench.parts import parser_of, timed
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
    parser = parser_of("bench", __doc__, PARTS, rounds=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--database", type=Path, help="a filled SQLite file")
    parser.add_argument("--write", type=Path, metavar="FILE", help="as Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="as JSON")
    chosen = parser.parse_args()
    options = Options(chosen.rounds, chosen.seconds, chosen.database)
    pin_to_load_core()
    allow_many_connections()
    sections = [PARTS[name](options) for name in timed(chosen.parts or PARTS)]
    report = Report(options.rounds, options.seconds, sections)
    if chosen.write:
        chosen.write.write_text(report.markdown())
    if chosen.json:
        chosen.json.write_text(report.json() + "\n")
    print(report.markdown())


if __name__ == "__main__":
    main()
