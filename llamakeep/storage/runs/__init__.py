"""The life of a run, one transaction a step."""
