"""What all routes share: problems, fields, queries, streaming, documentation."""
