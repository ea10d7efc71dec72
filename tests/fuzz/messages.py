"""Messages of kernels: well formed, and then maybe damaged, each made of a number."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence


def some_bytes(chance: random.Random, most: int = 40) -> bytes:
    """Return some bytes, mostly few."""
    return chance.randbytes(chance.choice([0, 1, 2, 4, 4, 8, 16, 16, chance.randint(0, most)]))


def number(chance: random.Random, bits: int = 32) -> int:
    """Return a number of so many bits: a small one, a large one, or any."""
    special = [0, 1, 2, 7, (1 << bits) - 1, 1 << (bits - 1)]
    return chance.choice([*special, chance.getrandbits(bits)])


def damaged(chance: random.Random, raw: bytes) -> bytes:
    """Return the bytes as they are, or cut short, or with some of them changed."""
    kind = chance.randrange(4)
    if kind == 0 and raw:
        return raw[: chance.randrange(len(raw))]
    if kind == 1 and raw:
        changed = bytearray(raw)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.choice([0, 1, 255, number(chance, 8)])
        return bytes(changed)
    if kind == 2 and chance.random() < 0.1:
        return chance.randbytes(len(raw))
    return raw


def attributes(
    chance: random.Random,
    kinds: Sequence[int],
    value: Callable[[random.Random], bytes] = some_bytes,
) -> bytes:
    """Return a list of attributes of netlink."""
    raw = b""
    for _ in range(chance.randint(0, 4)):
        content = value(chance)
        length = len(content) + 4 if chance.random() < 0.9 else number(chance, 16)
        raw += struct.pack("=HH", length, chance.choice(kinds)) + content
        raw += bytes(-len(content) % 4)
    return raw


def netlink(chance: random.Random, contents: Sequence[bytes], kinds: Sequence[int]) -> bytes:
    """Return messages of netlink, as one answer."""
    raw = b""
    for content in contents:
        length = len(content) + 16 if chance.random() < 0.9 else number(chance)
        flags = chance.choice([0, 2, 0x10, 0x12])
        raw += struct.pack("=IHHII", length, chance.choice(kinds), flags, 1, 0) + content
        raw += bytes(-len(content) % 4)
    return raw


def control(chance: random.Random, fields: Sequence[tuple[int, int]]) -> bytes:
    """Return ancillary data of Linux."""
    raw = b""
    for _ in range(chance.randint(0, 4)):
        level, kind = chance.choice(fields)
        value = some_bytes(chance)
        length = len(value) + 16 if chance.random() < 0.9 else number(chance, 64)
        raw += struct.pack("=Qii", length, level, kind) + value + bytes(-len(value) % 8)
    return raw
