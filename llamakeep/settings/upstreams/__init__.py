"""`llamakeep.toml`: named upstreams, and aliases that fall back from one to another."""

from llamakeep.settings.upstreams.anew import Reading, read_anew, reading_again
from llamakeep.settings.upstreams.model import (
    NONE,
    LocalUpstream,
    Member,
    Mistake,
    OpenAIUpstream,
    ReplicateUpstream,
    Step,
    Upstream,
    Upstreams,
    UpstreamsFault,
)
from llamakeep.settings.upstreams.reading import (
    FILE_NAME,
    path_of,
    read,
    read_text,
    with_local,
)

__all__ = [
    "FILE_NAME",
    "NONE",
    "LocalUpstream",
    "Member",
    "Mistake",
    "OpenAIUpstream",
    "Reading",
    "ReplicateUpstream",
    "Step",
    "Upstream",
    "Upstreams",
    "UpstreamsFault",
    "path_of",
    "read",
    "read_anew",
    "read_text",
    "reading_again",
    "with_local",
]
