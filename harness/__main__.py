"""``python -m harness`` is ``kab``."""

from harness.cli import main

if __name__ == "__main__":
    main()
