"""Runs as JSON: shown, exported and imported."""
