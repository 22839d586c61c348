"""
`llamakeep check`: whether what the settings name is there, and works.

Each module checks one thing. A check changes nothing, and can be run beside a server on
the same database. Models are asked for something only with `--ask`.
"""
