"""The web page: its shell, and its files."""
