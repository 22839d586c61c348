"""What other nodes on the same database ask of this one, on a port of its own."""
