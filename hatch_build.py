"""Adds the links of contacts.ini, and the README, to the metadata that is in pyproject.toml."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# A picture of the README, with the blank line behind it.
_PICTURE = re.compile(r"^\.\. image:: (?P<file>docs/\S+)\n(?: {3}.*\n)*\n", re.MULTILINE)


class ContactsHook(MetadataHookInterface):
    """Give the package its links, as far as they are settled, and its description."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add ``urls``, of the repository and of the documentation, and ``readme``."""
        parser = ConfigParser()
        parser.read_string((Path(self.root) / "contacts.ini").read_text(encoding="utf-8"))
        repository = parser["project"]["repository"].rstrip("/")
        documentation = parser["project"]["documentation"]
        urls = {}
        if documentation:
            urls["Documentation"] = documentation
        if repository:
            urls["Source"] = repository
            urls["Issues"] = f"{repository}/issues"
        metadata["urls"] = urls
        metadata["readme"] = {
            "content-type": "text/x-rst",
            "text": self._describe(repository),
        }

    def _describe(self, repository: str) -> str:
        """Return the README as PyPI can show it, which has none of the pictures.

        They come from the repository. While there is none, they are left out.
        """
        text = (Path(self.root) / "README.rst").read_text(encoding="utf-8")
        if not repository:
            return _PICTURE.sub("", text)
        return text.replace(".. image:: docs/", f".. image:: {repository}/raw/HEAD/docs/")
