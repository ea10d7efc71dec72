"""Each program for a protocol says how it is used when it is started with nothing else."""

from __future__ import annotations

import ast
import subprocess

import pytest

from tests.support.examples import EXAMPLES, example

pytestmark = pytest.mark.once


PROGRAMS = [
    "mdns_responder.py",
    "ptp_offset.py",
    "relay.py",
    "rip_listener.py",
    "rtp_quality.py",
    "sacn_levels.py",
    "send_feeds.py",
    "ssdp_device.py",
    "two_feeds.py",
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_usage_is_told(name: str) -> None:
    ended = subprocess.run(example(name), check=False, capture_output=True, text=True)
    documentation = ast.get_docstring(ast.parse((EXAMPLES / name).read_text()))
    assert documentation is not None
    assert f"\nUsage: python {name} " in documentation
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", documentation + "\n\n")
