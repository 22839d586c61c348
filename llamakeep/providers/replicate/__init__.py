"""Replicate's HTTP API: predictions that go on without us."""

from llamakeep.providers.replicate.provider import ReplicateProvider

__all__ = ["ReplicateProvider"]
