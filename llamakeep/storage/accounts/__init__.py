"""Users, their credentials, and what happened to both."""
