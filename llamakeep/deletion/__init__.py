"""What is deleted, when, and in what pieces: old runs, and all of a deleted user."""
