"""How fast llamakeep is, measured beside a bare pass-through (`make bench`)."""
