"""`dreamctl` and `python -m dreamctl`."""

from dreamctl.cli import main

if __name__ == "__main__":
    main()
