"""Imports local modules as they were loaded, where their files hold something else by now.

Cells write helper files, import them, and write them again: importing again gives the first text.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from nbrewind.errors import MissingObject


class StoredModules(importlib.abc.MetaPathFinder):
    """While it is entered, modules of these names come from their stored texts if their files differ.

    It stands behind the first finder, which watches what the others find.
    """

    def __init__(self, texts: Mapping[str, str], get: Callable[[str], bytes], root: Path) -> None:
        self.texts = texts
        self.get = get
        self.root = root

    def __enter__(self) -> None:
        sys.meta_path.insert(1, self)

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The ordinary finders' answer, with the stored text behind it."""
        if fullname not in self.texts:
            return None
        behind = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (finder.find_spec(fullname, path, target) for finder in behind)
        spec = next((one for one in found if one is not None), None)
        try:
            text = self.get(self.texts[fullname])
            if spec is None:  # its file is gone
                where = str(self.root.joinpath(*fullname.split(".")).with_suffix(".py"))
                return importlib.util.spec_from_file_location(
                    fullname, where, loader=StoredText(fullname, where, text)
                )
            loader = spec.loader
            if isinstance(loader, SourceFileLoader) and text != loader.get_data(loader.path):
                spec.loader = StoredText(fullname, loader.path, text)
        except (MissingObject, OSError):
            return spec
        return spec


class StoredText(SourceFileLoader):
    """A source file with another text."""

    def __init__(self, name: str, path: str, text: bytes) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        """Compiled from the text; compiled files beside the source are those of the file."""
        code: CodeType = self.source_to_code(self.text, self.path)
        return code
