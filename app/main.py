"""`uvicorn app.main:app --reload`, as in the first README."""

from llamakeep.app import create_app
from llamakeep.settings import Settings

app = create_app(Settings())
