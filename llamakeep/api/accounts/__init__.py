"""Users, their passwords, keys and limits."""
