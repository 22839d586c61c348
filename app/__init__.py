"""The porch: what the first README tells people to start."""
