"""Sending prompts, and reading their runs."""
