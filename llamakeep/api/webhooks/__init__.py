"""Webhooks from Replicate, and webhooks to clients."""
