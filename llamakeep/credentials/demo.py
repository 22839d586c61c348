"""
Credentials of the two demonstration users, which are public.

They work in demo mode only: the users have no password in the database, and the access
tokens do not have the format of real ones.
"""

from datetime import timedelta

PASSWORDS = {"alice": "secret1", "bob": "secret2"}
ACCESS_TOKENS = {f"token_{username}": username for username in PASSWORDS}
FOR_EVER = timedelta(days=36500)
