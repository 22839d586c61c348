"""The parts of a benchmark, which are measured one by one or all of them."""

import argparse
import sys
import time
from collections.abc import Collection, Iterable, Iterator


def parser_of(
    module: str, doc: str | None, parts: Collection[str], *, rounds: int
) -> argparse.ArgumentParser:
    """Return a parser for a command that takes names of `parts`, and `--rounds`."""

    def part(name: str) -> str:
        if name not in parts:
            raise argparse.ArgumentTypeError(f"no such part: {name}")
        return name

    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(parts)
    parser.add_argument("parts", nargs="*", type=part, metavar="PART", help=names)
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def timed(names: Iterable[str]) -> Iterator[str]:
    """Return the names one by one, and print how long each part took."""
    for name in names:
        began = time.monotonic()
        yield name
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
