"""Replicate's HTTP API: predictions continue without a connection."""

from llamakeep.providers.replicate.provider import ReplicateProvider

__all__ = ["ReplicateProvider"]
