"""Permanent deletion: old runs, deleted users, their words in the search index."""
