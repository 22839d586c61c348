"""What all routes share: problems, fields, middleware, streaming, documentation."""
