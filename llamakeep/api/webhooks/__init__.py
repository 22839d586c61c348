"""Webhooks that arrive, and those that clients ask for."""
