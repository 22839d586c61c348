"""Runs as the history shows, exports and imports them."""
