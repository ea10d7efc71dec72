"""Makes a sender that receives replies known to the tests of this directory."""

from tests.support.askers import asker

__all__ = ["asker"]
