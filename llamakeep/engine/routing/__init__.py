"""Aliases: which of their models a run is sent to, and when the next one is asked."""
