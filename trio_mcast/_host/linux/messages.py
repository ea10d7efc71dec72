"""The layouts of what recvmmsg and sendmmsg take on Linux, with pointers of 8 or of 4 bytes."""

from __future__ import annotations

import struct
from typing import Final, Literal, TypeAlias

import attrs

Word: TypeAlias = Literal["Q", "I"]


@attrs.frozen
class MessageLayout:
    """The layout of ``struct mmsghdr`` and ``struct iovec``.

    The slices are the places of the fields that the kernel writes, in an array of headers that is
    looked at as words.

    Attributes:
        mmsghdr: A ``struct msghdr`` (name and its length, vectors and their number, control data
            and their length, flags), and behind it the length of the data.
        iovec: An address and a length.
        word: The kind of a word that is as long as a pointer, for `memoryview.cast`.
        name_length: The length of each name, in words of 4 bytes.
        control_length: The length of the control data, in words as long as a pointer.
        length: The length of the data, in words of 4 bytes.
    """

    mmsghdr: struct.Struct
    iovec: struct.Struct
    word: Word
    name_length: slice
    control_length: slice
    length: slice


def _layout(mmsghdr: str, word: Word, name_length: int, length: int) -> MessageLayout:
    header, vector = struct.Struct(mmsghdr), struct.Struct(f"={word}{word}")
    return MessageLayout(
        header,
        vector,
        word,
        slice(name_length, None, header.size // 4),
        slice(5, None, header.size // (vector.size // 2)),
        slice(length, None, header.size // 4),
    )


# By the size of a pointer.
MESSAGES: Final = {
    8: _layout("=QI4xQQQQi4xI4x", "Q", 2, 14),
    4: _layout("=IIIIIIiI", "I", 1, 7),
}
