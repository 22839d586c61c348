"""What users read back: lists, search, conversations, sums."""
