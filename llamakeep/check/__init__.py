"""
`llamakeep check`: whether what the settings name is there, and works.

Each module checks one thing. A check changes nothing, asks no model for anything, and
can be run beside a server on the same database.
"""
