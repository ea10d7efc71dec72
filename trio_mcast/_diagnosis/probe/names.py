"""Names on the wire: cut to a size, and made fit to be shown, whoever has sent them. Pure."""

from __future__ import annotations


def cut_name(name: str, size: int) -> bytes:
    """Return a name in UTF-8, of at most so many bytes; no character is cut in two."""
    # A name of the system that is no UTF-8 has surrogates, which are not to be sent.
    data = name.encode(errors="replace")
    return data[: max(size, 0)].decode(errors="ignore").encode()


def shown_name(data: bytes) -> str:
    """Return a name that came from the network, with "?" for what could move a terminal's cursor.

    Control characters, line breaks, changes of the direction of writing, and bytes that are no
    UTF-8 become "?".
    """
    text = data.decode(errors="replace").replace("\N{REPLACEMENT CHARACTER}", "?")
    return "".join(character if character.isprintable() else "?" for character in text)
