"""`python -m wsvs`."""

from wsvs.cli import main

if __name__ == "__main__":
    main()
