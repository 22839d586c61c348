"""Bounds on what one client may send: request rates and failed logins."""
