"""What hostile clients take from a server as it is shipped, and what others notice."""
