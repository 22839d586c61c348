"""Users, their credentials, and the audit log."""
