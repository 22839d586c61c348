"""What nodes on one database tell each other directly, over HTTP."""
