"""
Requests that Schemathesis makes up, such as the OpenAPI document allows or forbids.

`make fuzz` takes five minutes; this is a glance.
"""

import os
import sys
from pathlib import Path

from tests.sdk.programs import output_of
from tests.sdk.site import ALICE, Site

SECONDS = int(os.environ.get("LLAMAKEEP_FUZZ_SECONDS", "8"))


def test_no_made_up_request_meets_a_bug_or_an_answer_that_is_not_documented(
    own_site: Site, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run"),
        f"{own_site.origin}/openapi.json",
        *("--header", f"Authorization: Bearer {ALICE}"),
        *("--max-time", str(SECONDS)),
        # They end the login that all others need.
        *("--exclude-path", "/logout/"),
        *("--exclude-path", "/me/logins/{login_id}"),
        # It has no end.
        *("--exclude-path", "/events/"),
        # What a model serves, and which conversations there are, no schema can say.
        *("--exclude-checks", "positive_data_acceptance"),
        *("--generation-database", "none"),
    ]

    said = output_of(*command, folder=tmp_path, within=SECONDS + 60)

    assert " generated" in said
