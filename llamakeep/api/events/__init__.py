"""One stream of all that happens to a user's runs."""
