"""``python -m nbrewind``: the command line."""

from __future__ import annotations

from nbrewind.cli import main

if __name__ == "__main__":
    main()
