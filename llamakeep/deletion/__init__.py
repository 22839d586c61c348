"""Deletion in batches: of selected runs, of old runs, and of deleted users' data."""
