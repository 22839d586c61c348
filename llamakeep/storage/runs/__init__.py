"""The state of runs: accept, claim, lease, flush, finish."""
