"""Prompts and the runs that answer them."""
