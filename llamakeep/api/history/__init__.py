"""A user's history: read, search, export, import."""
