"""Replicate's HTTP API: routes, and how requests and answers look."""
