"""
Say which installed packages have a licence that nobody has looked at yet.

What is fine is listed in pyproject.toml, under `[tool.llamakeep.licences]`: SPDX
identifiers, and packages that were looked at one by one, because they do not say it in
a way that a program understands.
"""

import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_OPERATORS = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()]", re.IGNORECASE)
_CLASSIFIER = "License :: OSI Approved :: "
# Older packages have no identifier, and say the same in many words.
_WORDS = {
    "Apache-2.0": ("apache 2", "apache-2", "apache software", "apache license"),
    "BSD-3-Clause": ("bsd",),
    "ISC": ("isc",),
    "MIT": ("mit", "expat"),
    "MPL-2.0": ("mpl", "mozilla"),
    "PSF-2.0": ("psf", "python software foundation"),
    "Unlicense": ("unlicense",),
}


def main() -> int:
    """Return 1 when something is to be looked at."""
    rules = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    licences = rules["tool"]["llamakeep"]["licences"]
    wrong = sorted(
        set(unknown(distributions(), licences["allowed"], licences["looked-at"]))
    )
    for line in wrong:
        print(line)
    if wrong:
        print("Look at them, and say in pyproject.toml which are fine, and why.")
    return int(bool(wrong))


def unknown(
    installed: Iterable[Distribution], allowed: Collection[str], known: Collection[str]
) -> Iterator[str]:
    """Yield a line for each package whose licences are not all allowed."""
    for one in installed:
        found = licences_of(one)
        if one.name.lower() not in known and not (found and found <= set(allowed)):
            said = ", ".join(sorted(found)) or "no licence that is understood"
            yield f"{one.name} {one.version}: {said}"


def licences_of(one: Distribution) -> set[str]:
    """Return the identifiers of a package's licences; nothing, if it does not say."""
    fields = one.metadata
    if expressions := fields.get_all("License-Expression"):
        return set(filter(None, _OPERATORS.split(expressions[0])))
    said = [
        each.removeprefix(_CLASSIFIER)
        for each in fields.get_all("Classifier") or []
        if each.startswith(_CLASSIFIER)
    ]
    # The whole text of a licence is not its name.
    said = said or [name for name in fields.get_all("License") or [] if len(name) < 80]
    return {identifier(each) for each in said if each.strip()}


def identifier(said: str) -> str:
    """Return the SPDX identifier of what is written, or what is written."""
    for spdx, beginnings in _WORDS.items():
        if any(re.search(rf"\b{word}", said, re.IGNORECASE) for word in beginnings):
            return spdx
    return said


if __name__ == "__main__":
    sys.exit(main())
