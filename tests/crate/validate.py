"""Validate a package as an RO-Crate with rocrate-validator, without network.

Run by ``make test-crate`` in an environment with ``roc-validator`` and ``runcrate``.  The JSON-LD contexts that the
crate names are answered with ``context.json``: the terms that our crates use, mapped as the published contexts
(https://w3id.org/ro/crate/1.1/context, https://w3id.org/ro/terms/workflow-run/context) map them.
"""

from __future__ import annotations

import io
import json
import sys
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.response import addinfourl

import requests
import urllib3
from requests.adapters import HTTPAdapter
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings

CONTEXT = Path(__file__).with_name("context.json").read_bytes()
PROFILES = (
    "ro-crate-1.1",
    "workflow-ro-crate-1.0",
    "process-run-crate-0.5",
    "workflow-run-crate-0.5",
    "provenance-run-crate-0.5",
)


def answer(self: HTTPAdapter, request: requests.PreparedRequest, **_: Any) -> requests.Response:
    """Contexts from our file; everything else is not there."""
    known = str(request.url).rstrip("/").endswith("/context")
    raw = urllib3.HTTPResponse(
        body=io.BytesIO(CONTEXT if known else b""),
        headers={"Content-Type": "application/ld+json"},
        status=200 if known else 404,
        preload_content=False,
        request_url=str(request.url),
    )
    return self.build_response(request, raw)


class Offline(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """The same for what rdflib opens itself."""

    def http_open(self, request: urllib.request.Request) -> Any:
        """Contexts from our file; everything else is not there."""
        headers = Message()
        headers["Content-Type"] = "application/ld+json"
        known = request.full_url.rstrip("/").endswith("/context")
        body = CONTEXT if known else b""
        response: Any = addinfourl(io.BytesIO(body), headers, request.full_url, 200 if known else 404)
        response.msg = "OK" if known else "Not Found"
        return response

    https_open = http_open


def issues(package: str, profile: str, severity: Severity) -> list[str]:
    """What the validator has to say."""
    result = services.validate(
        ValidationSettings(
            rocrate_uri=package, profile_identifier=profile, requirement_severity=severity, no_cache=True
        )
    )
    return sorted(
        {
            f"{issue.check.identifier}: {issue.message} ({issue.violatingEntity})"
            for issue in result.get_issues()
        }
    )


def main(package: str, level: str) -> int:
    """Print the issues by profile."""
    urllib.request.install_opener(urllib.request.build_opener(Offline))
    HTTPAdapter.send = answer  # type: ignore[method-assign]
    severity = Severity.RECOMMENDED if level == "recommended" else Severity.REQUIRED
    found = {profile: issues(package, profile, severity) for profile in PROFILES}
    json.dump(found, sys.stdout, indent=1)
    print()
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "required"))
