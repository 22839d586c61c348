"""What changes of users' runs, for those who listen."""
