"""The command line, one file per verb."""

from __future__ import annotations


def main() -> None:
    """Run the command that ``sys.argv`` names and exit with its code."""
    from nbrewind.cli.app import app  # imported late: importing the package must stay cheap

    app(prog_name="nbrewind")
