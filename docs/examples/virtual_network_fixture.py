from trio_mcast.testing.fixtures import virtual_network

__all__ = ["virtual_network"]
