"""The PostgreSQL database: its connections, batches and errors."""
