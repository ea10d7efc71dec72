"""Networks of real kernels for tests: hosts, switches and routers made of Linux network namespaces.

::

    with Lab() as lab:
        lan = lab.switch("lan")
        a, b = lab.host("a"), lab.host("b")
        a.plug("eth0", lan, "10.0.0.1/24", "fd00:1::1/64")
        b.plug("eth0", lan, "10.0.0.2/24", "fd00:1::2/64")
        with a.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        b.run("ping", "-c1", "10.0.0.1")
"""

from ._host import Host
from ._namespace import LabError
from ._network import Lab, lab_problem, program_problem
from ._router import Router
from ._switch import Subscription, Switch

__all__ = [
    "Host",
    "Lab",
    "LabError",
    "Router",
    "Subscription",
    "Switch",
    "lab_problem",
    "program_problem",
]
