"""`python -m llamakeep`, the same as `llamakeep`."""

from llamakeep.cli import main

if __name__ == "__main__":
    main()
