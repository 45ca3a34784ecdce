"""Run the command as ``python -m foldbn``."""

from foldbn.cli import main

if __name__ == "__main__":
    main()
