"""Webhooks: signatures, permitted addresses and delivery."""
