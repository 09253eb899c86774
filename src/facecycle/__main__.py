"""``python -m facecycle`` is the command ``facecycle``."""

from facecycle.cli import main

if __name__ == "__main__":  # worker processes import this module too
    main()
