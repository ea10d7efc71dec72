"""Makes the lab's fixtures known to every test."""

from tests.lab.fixtures import lab, two_hosts, two_lans

__all__ = ["lab", "two_hosts", "two_lans"]
