"""Leases, take-over, and answers that are found again after a crash."""
