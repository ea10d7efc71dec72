"""``python -m trio_mcast``: the same as the ``trio-mcast`` command."""

from ._cli import main

main()
