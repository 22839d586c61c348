"""
Serving with several processes: a parent, and workers that are a node each.

The parent does not import the server. It creates the listening sockets, restarts
workers that died, runs the embedded model for all of them, and counts requests.
"""
