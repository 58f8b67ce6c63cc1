"""The bodies of the HTTP API, read strictly: a request that is not understood whole does nothing.

Their schemas are those of docs/openapi.yaml, and their mistakes are told in the words of pats.yaml's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema

from shared.functions.http_call import BadRequest, Mistake, query_mistakes, shown
from shared.inventory import mistakes, texts
from shared.model.clock import MOST_SKEW
from shared.model.request import Request

LARGEST = 64 * 1024

_INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"


def _instant(value: Any, info: ValidationInfo) -> datetime:
    try:
        if not isinstance(value, str) or not re.fullmatch(_INSTANT, value):
            raise ValueError
        at = datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be an instant with its offset, such as 2026-03-01T12:00:00Z") from None
    context: Any = info.context
    if at > context["now"] + MOST_SKEW:
        # Every repetition of the request would rotate again until then (rule 8).
        raise ValueError("lies in the future")
    return at


def _no_default(schema: dict[str, Any]) -> None:
    """Leaving it out is no value of its own."""
    del schema["default"]


SecretName = Annotated[
    str,
    AfterValidator(texts.secret_reference),
    WithJsonSchema({"type": "string", "pattern": f"^{texts.SECRET_REFERENCE}$"}),
]
Secrets = Annotated[list[SecretName], Field(min_length=1)]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": f"^{_INSTANT}$"}),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    secrets: Secrets = Field(default=[], json_schema_extra=_no_default)
    published_before: Instant | None = Field(default=None, json_schema_extra=_no_default)


class RotateBody(_Body):
    """Of `POST /api/rotate`; without anything in it: everything that is due."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"force": {"const": True}}, "required": ["force"]},
            "then": {"required": ["secrets"]},
        }
    )

    force: bool = False
    dry_run: bool = False


class EmergencyBody(_Body):
    """Of `POST /api/emergency`, which names the leaked secrets."""

    secrets: Secrets
    revoke_first: bool = False


class EnrollBody(BaseModel):
    """Of `POST /api/enroll`: a user of pats.yaml with `enrolled: true`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    username: Annotated[str, AfterValidator(texts.user_name), WithJsonSchema({"type": "string", "maxLength": 113})]


Body = TypeVar("Body", bound=BaseModel)


def read_rotate(body: bytes, query: Mapping[str, str], now: datetime) -> Request:
    """What `POST /api/rotate` asks for; an empty body is `{}`. Raises BadRequest with every mistake."""
    asked, found = _read(RotateBody, body, query, now)
    if asked is not None and asked.force and not asked.secrets:
        found.append(Mistake("force", "needs `secrets`: name what is to be rotated whether due or not"))
    if asked is None or found:
        raise BadRequest(found)
    return Request(
        names=tuple(asked.secrets) or None,
        force=asked.force,
        dry_run=asked.dry_run,
        published_before=asked.published_before,
        arrived_at=now,
        door="http",
    )


def read_emergency(body: bytes, query: Mapping[str, str], now: datetime) -> Request:
    """What `POST /api/emergency` asks for. Raises BadRequest with every mistake."""
    asked, found = _read(EmergencyBody, body, query, now)
    if asked is None or found:
        raise BadRequest(found)
    return Request(
        names=tuple(asked.secrets),
        emergency=True,
        revoke_first=asked.revoke_first,
        published_before=asked.published_before,
        arrived_at=now,
        door="http",
    )


def read_enroll(body: bytes, query: Mapping[str, str]) -> str:
    """Whom `POST /api/enroll` names. Raises BadRequest with every mistake."""
    asked, found = _read(EnrollBody, body, query, datetime.now(UTC))
    if asked is None or found:
        raise BadRequest(found)
    return asked.username


def _read(shape: type[Body], body: bytes, query: Mapping[str, str], now: datetime) -> tuple[Body | None, list[Mistake]]:
    """The body, and what is wrong with it and with the query. Raises BadRequest for what is no JSON object."""
    document = _object(body)
    asked, found = mistakes.validate(shape, document, (), context={"now": now})
    wrong = query_mistakes(query, shape.model_fields)
    known = ", ".join(shape.model_fields)
    for mistake in found:
        unknown = f"is not known; known are {known}"
        place = mistakes.shown(mistake.path)
        wrong.append(Mistake(shown(mistake.key), unknown) if mistake.key else Mistake(place, mistake.says))
    return asked, wrong


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST:
        raise BadRequest([Mistake("", f"The body is larger than {LARGEST // 1024} KiB")])
    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_once) if text.strip() else {}
    except _Twice as failure:
        raise BadRequest([Mistake(shown(failure.name), "stands there twice")]) from None
    except (ValueError, RecursionError):
        raise BadRequest([Mistake("", "The body is not JSON")]) from None
    if not isinstance(document, dict):
        raise BadRequest([Mistake("", "The body is not a JSON object")])
    return document


class _Twice(Exception):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found
