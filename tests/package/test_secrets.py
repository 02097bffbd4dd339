"""Secrets stay out: packing refuses and names the place, never the secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbrewind.errors import RefusedError
from nbrewind.package.secrets import Finding, Scanner
from package.conftest import Command, make_package

TOKEN = "ghp_" + "a1B2" * 9


def test_each_kind_of_place_is_scanned() -> None:
    scanner = Scanner()
    scanner.text("x = 1\nkey = 'AKIAQWERTYUIOPASDFGH'", "cell 1")
    scanner.messages(
        json.dumps([{"content": {"data": {"text/plain": TOKEN, "image/png": TOKEN}}}]).encode(), "out"
    )
    scanner.value(b"\x80\x05\x8c\x28" + TOKEN.encode() + b"\x94.", "the value of t")
    assert Finding("AWS Access Key", "cell 1, line 2") in scanner.secrets
    places = {one.place.partition(",")[0] for one in scanner.secrets}
    assert places == {"cell 1", "out", "the value of t"}
    with pytest.raises(RefusedError) as error:
        scanner.refuse("paper.zip")
    assert TOKEN not in str(error.value) and error.value.exit_code == 5


def test_ordinary_code_is_none() -> None:
    scanner = Scanner()
    scanner.text("df.groupby('key').agg(total=('v', 'sum'))\ntoken = next(tokens)\nd.sort(key=len)", "cell")
    scanner.value(bytes(range(256)) * 100, "x")
    assert not scanner.secrets


def test_pack_refuses_and_says_where(nbrewind: Command, folder: Path) -> None:
    with pytest.raises(RefusedError, match="code cell 0"):
        make_package(folder / "paper", text=TOKEN)
    assert not (folder / "paper").exists()
    notebook = next(folder.glob(".paper-*")) / "x.ipynb"
    refused = nbrewind("pack", notebook, "-o", "paper.zip")
    assert "nbrewind:never" in refused.err
    assert refused.code == 5 and TOKEN not in refused.err and not (folder / "paper.zip").exists()
    assert nbrewind("pack", notebook, "-o", "paper.zip", "--allow-secrets").code == 0
