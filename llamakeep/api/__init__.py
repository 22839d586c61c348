"""The doors: HTTP in, the engine's words out."""
