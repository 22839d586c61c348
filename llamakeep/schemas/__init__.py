"""What our JSON has in common: bodies, fields, texts, and how it is written."""
