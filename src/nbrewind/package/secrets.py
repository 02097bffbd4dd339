"""Secrets in what is about to be shared, found with the rules of detect-secrets (Yelp).

Sources and texts are scanned line by line; values only for tokens that announce themselves, since a pickle
is full of bytes that look random.  What is told is the kind and the place, never the secret.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from detect_secrets.core.scan import scan_line
from detect_secrets.settings import transient_settings

from nbrewind.errors import RefusedError
from nbrewind.package.layout import shown

_RULES = (
    *("ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector"),
    *("CloudantDetector", "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector"),
    *("IbmCloudIamDetector", "JwtTokenDetector", "KeywordDetector", "MailchimpDetector", "NpmDetector"),
    *("OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector"),
    *("SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector"),
)
"""All of its rules but those that guess by entropy or by the form of addresses."""

_ANNOUNCED = re.compile(
    rb"AKIA[0-9A-Z]{8}|gh[opsur]_[0-9A-Za-z]{8}|glpat-|xox[abpr]-|eyJ[0-9A-Za-z]{8}|-----BEGIN [A-Z ]*PRIVATE"
    rb"|sk_live_|sk-[0-9A-Za-z]{20}|SG\.[0-9A-Za-z]{8}|npm_[0-9A-Za-z]{8}|pypi-[0-9A-Za-z]{8}"
    rb"|://[^\s/:@]+:[^\s/@]+@"
)
_AROUND = 200
_LONGEST_LINE = 4000
_TELL = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks like a secret, or that names a person or a machine."""

    kind: str
    place: str


class Scanner:
    """Collects findings from texts and values."""

    def __init__(self) -> None:
        self.secrets: dict[Finding, None] = {}
        self.personal: dict[Finding, None] = {}
        self._names = personal_names()

    def text(self, text: str, place: str) -> None:
        """Scan lines of source, output or log."""
        with transient_settings({"plugins_used": [{"name": name} for name in _RULES]}):
            for number, line in enumerate(text.splitlines(), 1):
                for found in scan_line(line[:_LONGEST_LINE]):
                    self.secrets.setdefault(Finding(found.type, f"{place}, line {number}"))
        for kind, name in self._names.items():
            if name in text:
                self.personal.setdefault(Finding(kind, place))

    def value(self, data: bytes, place: str) -> None:
        """Scan a value's bytes for tokens that announce themselves."""
        for match in _ANNOUNCED.finditer(data):
            around = data[max(0, match.start() - 20) : match.end() + _AROUND]
            readable = re.sub(rb"[^\x20-\x7e]+", b"\n", around).decode("ascii")
            with transient_settings({"plugins_used": [{"name": name} for name in _RULES]}):
                kinds = {found.type for line in readable.splitlines() for found in scan_line(line)}
            for kind in kinds:
                self.secrets.setdefault(Finding(kind, place))

    def messages(self, data: bytes, place: str) -> None:
        """Scan the texts of output messages."""
        try:
            content = json.loads(data)
        except ValueError:
            return
        self.text("\n".join(_texts(content)), place)

    def refuse(self, out: str) -> None:
        """Stop the packing where there are secrets.

        Raises:
            RefusedError: it lists their places.
        """
        if self.secrets:
            raise RefusedError(
                f"{out} was not made: it would hold what looks like secrets. {told(self.secrets)}. Take "
                "them out of the notebook, run it again and pack it (of a cell that is tagged nbrewind:never "
                "no value is stored); or, if they are none, pack with --allow-secrets."
            )


def told(findings: Iterable[Finding]) -> str:
    """Findings for a person: what and where."""
    every = [f"{one.kind} in {shown(one.place)}" for one in findings]
    more = f" and {len(every) - _TELL} more" if len(every) > _TELL else ""
    return "; ".join(every[:_TELL]) + more


def personal_names() -> dict[str, str]:
    """What names this user and this machine, where it is long enough to mean something."""
    found = {"the home folder": os.path.expanduser("~"), "the name of this machine": socket.gethostname()}
    try:
        found["the name of this user"] = getpass.getuser()
    except (OSError, KeyError):
        pass  # a container without users
    common = {"root", "/root", "user", "home", "jovyan", "/home/jovyan", "localhost"}
    return {kind: name for kind, name in found.items() if len(name) > 3 and name not in common}


def _texts(content: Any) -> Iterator[str]:
    """All strings of messages but those of pictures and the like."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for one in content:
            yield from _texts(one)
    elif isinstance(content, Mapping):
        for key, one in content.items():
            if not str(key).startswith(("image/", "audio/", "video/", "application/pdf")):
                yield from _texts(one)
