"""What every route needs: problems, fields, middleware, streaming, documentation."""
