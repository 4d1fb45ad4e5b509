"""``python -m scheduler``: see ``python -m scheduler --help``."""

from scheduler.cli import main

if __name__ == "__main__":
    main()
