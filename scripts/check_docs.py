"""Check links, the site's navigation, and the shape of decision records."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
LONGEST_RECORD = 40
SITE = Path("zensical.toml")


def main() -> int:
    """Return 0 when nothing is wrong."""
    pages = all_pages()
    records = sorted(Path("docs/adr").glob("[0-9]*.md"))
    faults = [*dead_links(pages), *lost_pages(pages), *odd_records(records)]
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(pages)} pages, {len(records)} decision records: {len(faults)} faults.")
    return int(bool(faults) or not records)


def all_pages() -> list[Path]:
    """Return the pages that are in the repository, or will be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        check=True,
        capture_output=True,
        text=True,
    )
    return [p for line in listed.stdout.splitlines() if (p := Path(line)).exists()]


def lost_pages(pages: list[Path]) -> Iterator[str]:
    """Yield the pages of `docs` that the site's navigation does not have, or twice."""
    listed = re.findall(r'"(\S+\.md)"', SITE.read_text(encoding="utf-8"))
    for page in pages:
        if page.parts[0] == "docs" and listed.count(page.as_posix()) != 1:
            yield f"{page}: it has to be in the `nav` of {SITE}, once"


def dead_links(pages: list[Path]) -> Iterator[str]:
    """Yield the links between our own files whose target is missing."""
    for page in pages:
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            is_ours = "://" not in target and not target.startswith("mailto:")
            if is_ours and not (page.parent / target).exists():
                yield f"{page}: there is no {target}"


def odd_records(records: list[Path]) -> Iterator[str]:
    """Yield what keeps a decision record from being like the others."""
    for number, record in enumerate(records, start=1):
        lines = record.read_text(encoding="utf-8").splitlines()
        if not record.name.startswith(f"{number:04}-"):
            yield f"{record}: the next number is {number:04}"
        if len(lines) > LONGEST_RECORD:
            yield f"{record}: {len(lines)} lines; {LONGEST_RECORD} are enough"
        if [line[3:] for line in lines if line.startswith("## ")] != SECTIONS:
            yield f"{record}: its sections are not {', '.join(SECTIONS)}"


if __name__ == "__main__":
    sys.exit(main())
