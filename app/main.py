"""`uvicorn app.main:app --reload`, as in the first README."""

import logging
import sys

from llamakeep.app import create_app
from llamakeep.settings import Settings, variables

variables.pass_on_from_file()
# Uvicorn itself begins again only when Python files change.
app = create_app(Settings(), reloads_page="--reload" in sys.argv)
for _warning in variables.warnings():
    logging.getLogger("llamakeep").warning("%s", _warning)
