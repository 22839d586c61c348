"""Model providers: the port, the registry, and an adapter for each kind."""
