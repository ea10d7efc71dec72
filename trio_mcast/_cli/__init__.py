"""The ``trio-mcast`` command. The packages that only the command needs are in the extra ``cli``."""

from __future__ import annotations

import sys

# The packages of the extra "cli" in pyproject.toml.
_EXTRA = ("click", "pcapng", "rich")


def main() -> None:
    """Run the command; always end with `SystemExit`."""
    try:
        from .app import cli

        # Imports what the wanted command needs.
        cli()
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.exit(
            f"The trio-mcast command needs {missing}, which is not installed: "
            'pip install "trio-mcast[cli]"'
        )
    except KeyboardInterrupt:  # While importing, which takes a moment.
        sys.exit(130)
