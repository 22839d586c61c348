"""`uvicorn app.main:app --reload`, as in the first README."""

import logging

from llamakeep.app import create_app
from llamakeep.settings import Settings, variables

app = create_app(Settings())
for _warning in variables.warnings():
    logging.getLogger("llamakeep").warning("%s", _warning)
