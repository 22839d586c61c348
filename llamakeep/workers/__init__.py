"""
More than one process that serves: a parent, and workers that each are a node.

The parent imports nothing of the server. It hands out the listening sockets, starts
workers again that died, runs the embedded model for all of them, and counts requests.
"""
