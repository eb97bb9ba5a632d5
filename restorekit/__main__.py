"""`python -m restorekit`."""

from restorekit.cli.app import main

if __name__ == "__main__":
    main()
