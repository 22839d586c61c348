"""The databases: connections, tables, types, and the thread that writes SQLite."""
