"""`python -m llamakeep`, the same as `llamakeep`."""

from llamakeep import own_environment

if __name__ == "__main__":
    own_environment.enter("llamakeep")

    from llamakeep.cli import main

    main()
