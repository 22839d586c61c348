"""Login, passwords, API keys, limits, and the administration of users."""
