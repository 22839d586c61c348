"""What every request passes through before its route, in the order of `app.py`."""
