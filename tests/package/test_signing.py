"""Signatures by ssh keys: they stand for --trust, and only for the package that was signed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from package.conftest import Command, make_package


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key pair; the public part lies beside it."""
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def signers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path) -> Path:
    """A list that allows that key."""
    path = tmp_path / "allowed"
    path.write_text(f"ann@example.org {key.with_suffix('.pub').read_text()}")
    monkeypatch.setenv("NBREWIND_ALLOWED_SIGNERS", str(path))
    return path


@pytest.mark.parametrize("name", ["paper", "paper.zip"])
def test_a_known_signature_opens_the_checkpoints(
    nbrewind: Command, folder: Path, key: Path, signers: Path, name: str
) -> None:
    package = make_package(folder / name)
    assert nbrewind("unpack", package, "-o", "a", "--json").json["store"] is None
    assert nbrewind("sign", package, "--key", key).code == 0
    assert nbrewind("verify", package, "--json").json["signer"] == "ann@example.org"
    opened = nbrewind("unpack", package, "-o", "b", "--json")
    assert opened.json["store"] and "ann@example.org" in opened.err


def test_an_unknown_key_does_not(nbrewind: Command, folder: Path, key: Path, signers: Path) -> None:
    package = make_package(folder / "paper")
    assert nbrewind("sign", package, "--key", key).code == 0
    signers.write_text("")
    assert nbrewind("repeat", package).code == 5
    assert nbrewind("verify", package).code == 4
    signers.unlink()
    told = nbrewind("verify", package)
    assert told.code == 0 and "no list of keys" in told.out


def test_a_signature_is_of_one_package_only(
    nbrewind: Command, folder: Path, key: Path, signers: Path
) -> None:
    one, other = make_package(folder / "one"), make_package(folder / "other", text="other")
    assert nbrewind("sign", one, "--key", key).code == 0
    signature = (one / "checkpoints/manifest.json.sig").read_bytes()
    (other / "checkpoints/manifest.json.sig").write_bytes(signature)
    assert nbrewind("verify", other).code == 4
    for trust in ([], ["--trust"]):
        refused = nbrewind("repeat", other, *trust)
        assert refused.code == 5 and not (folder / "other-repeat").exists()


def test_a_signature_that_nobody_knows_is_no_worse_than_none(
    nbrewind: Command, folder: Path, key: Path, signers: Path
) -> None:
    package = make_package(folder / "paper")
    assert nbrewind("sign", package, "--key", key).code == 0
    signers.unlink()
    opened = nbrewind("unpack", package, "-o", "a", "--json")
    assert opened.code == 0 and opened.json["store"] is None and "no list of keys" in opened.err
    refused = nbrewind("repeat", package)
    assert refused.code == 5 and "--trust" in refused.err and "no list of keys" in refused.err


def test_without_ssh_keygen_a_signature_is_told_of_and_counts_for_nothing(
    nbrewind: Command, folder: Path, key: Path, signers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(folder / "paper")
    assert nbrewind("sign", package, "--key", key).code == 0
    monkeypatch.setenv("PATH", str(folder))
    told = nbrewind("verify", package)
    assert told.code == 0 and "no ssh-keygen" in told.out
    assert nbrewind("repeat", package).code == 5
    opened = nbrewind("unpack", package, "--trust", "-o", "b", "--json")
    assert opened.json["store"] and "no ssh-keygen" in opened.err


def test_signing_gives_the_line_that_makes_readers_trust_it(
    nbrewind: Command, folder: Path, key: Path, signers: Path
) -> None:
    package = make_package(folder / "paper")
    line = nbrewind("sign", package, "--key", key).out.splitlines()[-1]
    assert line.split()[1:] == key.with_suffix(".pub").read_text().split()[:2]
    signers.write_text(line.replace("NAME", "ann") + "\n")
    assert nbrewind("verify", package, "--json").json["signer"] == "ann"
