"""Adds the links of contacts.ini to the metadata that is in pyproject.toml."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class ContactsHook(MetadataHookInterface):
    """Give the package its links, as far as they are settled."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add ``urls``: of the repository and what it has, and of the documentation."""
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
