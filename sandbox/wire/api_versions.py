"""Versions of Azure DevOps' REST API: where a request names one, and what a wrong one is answered.

Source: REST API versioning in the vendor's documentation, and the texts that users report.
"""

from __future__ import annotations

import re

from sandbox.wire.exchange import Request

NEWEST = (7, 2)
SHAPE = re.compile(r"(\d+)\.(\d+)(-preview(?:\.(\d+))?)?", re.IGNORECASE)
IN_ACCEPT = re.compile(r";\s*api-version\s*=\s*\"?([^;,\"\s]+)", re.IGNORECASE)


class WrongVersion(Exception):
    """HTTP 400; `type_key` names the refusal."""

    def __init__(self, type_key: str, message: str) -> None:
        super().__init__(f"{type_key}: {message}")
        self.type_key = type_key
        self.message = message


def version_of(request: Request) -> str:
    """From the query, else from the Accept header as Microsoft's client libraries send it; "" for neither."""
    asked = request.parameters().get("api-version")
    if asked is None:
        found = IN_ACCEPT.search(request.headers.get("accept", ""))
        asked = found[1] if found else ""
    return asked


def judge(version: str, path: str, *, preview: bool = False, oldest: tuple[int, int] = (1, 0)) -> None:
    """Raises WrongVersion. `preview`: the resource never left preview, and has one resource version."""
    shape = SHAPE.fullmatch(version)
    if shape is None:
        raise WrongVersion(
            "VssInvalidApiResourceVersionException",
            f'Invalid api version string: "{version}". Api version string must be in the format: '
            "{Major}.{Minor}[-preview[.{ResourceVersion}]].",
        )
    number = int(shape[1]), int(shape[2])
    if number > NEWEST:
        raise WrongVersion(
            "VssVersionOutOfRangeException",
            f"The requested REST API version of {number[0]}.{number[1]} is out of range for this server. "
            f"The latest REST API version this server supports is {NEWEST[0]}.{NEWEST[1]}.",
        )
    if not preview:
        return
    if shape[3] is None:
        raise WrongVersion(
            "VssInvalidPreviewVersionException",
            f'The requested version "{version}" of the resource is under preview. The -preview flag must be supplied '
            f'in the api-version for such requests. For example: "{version}-preview"',
        )
    if number < oldest or shape[4] not in (None, "0", "1"):
        raise WrongVersion(
            "VssVersionOutOfRangeException",
            f"The request matched route {path}, but the requested REST API version {version} was outside the valid "
            "version range for this route.",
        )


def not_specified(method: str) -> WrongVersion:
    """What a request is answered that must name a version and names none."""
    return WrongVersion(
        "VssVersionNotSpecifiedException",
        f'No api-version was supplied for the "{method}" request. The version must be supplied either as part of the '
        'Accept header (e.g. "application/json; api-version=1.0") or as a query parameter '
        '(e.g. "?api-version=1.0").',
    )
