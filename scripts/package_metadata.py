"""
The long description and the URLs of the package, for hatchling.

REPOSITORY_URL in the environment says where the repository is published, such as
https://git.example.com/llamakeep: the links of README.md then lead there, to the files
of this version. Without it, no address is made up: a link is its text, and pictures are
left out.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"\[([^]]*)\]\((?!https?:)([^)]+)\)")
PICTURE = re.compile(r"<picture>.*?</picture>", re.DOTALL)
SOURCE = re.compile(r'(src|srcset)="(?!https?:)([^"]+)"')


class PackageMetadata(MetadataHookInterface):  # type: ignore[misc]  # not installed
    """What pyproject.toml calls dynamic, beside the version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add them."""
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        url = os.environ.get("REPOSITORY_URL", "").rstrip("/")
        text = with_links(readme, url, metadata["version"]) if url else plain(readme)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        changes = f"{url}/blob/v{metadata['version']}/CHANGELOG.md"
        metadata["urls"] = {"Repository": url, "Changelog": changes} if url else {}


def with_links(readme: str, url: str, version: str) -> str:
    """Return it with links to the files of this version in the repository."""

    def lead_there(link: re.Match[str]) -> str:
        target = link[2] if not link[2].startswith("#") else f"README.md{link[2]}"
        return f"[{link[1]}]({url}/blob/v{version}/{target})"

    return SOURCE.sub(rf'\1="{url}/raw/v{version}/\2"', LINK.sub(lead_there, readme))


def plain(readme: str) -> str:
    """Return it without links to files of the repository."""
    return LINK.sub(r"\1", PICTURE.sub("", readme))
