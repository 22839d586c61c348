"""Circuit breakers: of each provider, shared by all processes, and of each model."""
