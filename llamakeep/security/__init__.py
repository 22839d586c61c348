"""Passwords, access tokens, and slowing down whoever guesses them."""
