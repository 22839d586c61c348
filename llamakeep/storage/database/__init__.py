"""Databases: connections, tables, column types, SQLite's writer thread."""
