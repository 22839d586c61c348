"""Commands that talk to a llamakeep server, and the logins that they keep."""
