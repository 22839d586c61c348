"""Reading a user's history: lists, search, conversations, statistics."""
