"""Makes the host whose interfaces are watched known to the tests of this directory."""

from tests.support.watched_host import host

__all__ = ["host"]
