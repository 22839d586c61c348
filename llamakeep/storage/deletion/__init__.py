"""Deleting for good: old runs, deleted users, their traces in indexes."""
