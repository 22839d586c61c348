"""JSON bodies, fields and texts, and their serialisation."""
