"""Webhooks in and out: signatures, permitted addresses, delivery."""
