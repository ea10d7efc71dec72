"""Sign, number and check datagrams.

For signed_sender.py and signed_receiver.py.
"""

import hashlib
import hmac
import os
import struct

KEY = os.environ.get("SIGNED_KEY", "").encode()
# The sender's number, drawn once, and the datagram's.
HEADER = struct.Struct("!QQ")
TAG_SIZE = 16
WINDOW = 64


def tag_of(data: bytes) -> bytes:
    return hmac.digest(KEY, data, hashlib.sha256)[:TAG_SIZE]


def seal(sender: int, number: int, payload: bytes) -> bytes:
    data = HEADER.pack(sender, number) + payload
    return data + tag_of(data)


class Gate:
    """Lets each genuine datagram through once, also out of order."""

    def __init__(self) -> None:
        self._highest: dict[int, int] = {}
        self._seen: dict[int, set[int]] = {}

    def open(self, data: bytes) -> bytes | None:
        """Return the payload, or None if it is forged, repeated or too old."""
        signed, tag = data[:-TAG_SIZE], data[-TAG_SIZE:]
        if len(signed) < HEADER.size:
            return None
        if not hmac.compare_digest(tag, tag_of(signed)):
            return None
        sender, number = HEADER.unpack_from(signed)
        highest = self._highest.get(sender, -1)
        seen = self._seen.setdefault(sender, set())
        if number <= highest - WINDOW or number in seen:
            return None
        seen.add(number)
        if number > highest:
            self._highest[sender] = number
            seen -= {old for old in seen if old <= number - WINDOW}
        return signed[HEADER.size :]
