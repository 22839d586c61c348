"""
Counts and times of what the server does, as Prometheus reads them.

What happens often is noted in a list, and summed up later: see `Metrics`.
"""
