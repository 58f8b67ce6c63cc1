"""Reports as blobs in the Functions host's storage, in the container `patrol-runs`.

    <mark>/2026-03-01/<run_id>.json       the report; while the run waits for messages, its head
    <mark>/2026-03-01/<run_id>.0.parts    one line for each message that ended: an append blob, so that twenty that end
                                          at one moment lose nothing (REST reference, Append Block: atomic)
    <mark>/2026-03-01/<run_id>.0.tries    the same for deliveries that end in another one
    <mark>/2026-03-01/<run_id>.0.orders   one line for each message: what it is to do
    <mark>/looks/<user>                   empty; its Last-Modified is the user's last full look

An append blob holds 50,000 blocks, so each pair has the messages of 10,000 users. The template's lifecycle rule deletes
all of it after 30 days.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

import requests
from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.storage.blob import BlobClient, ContentSettings

from shared.model import run_ids
from shared.model.clock import Clock, Deadline
from shared.model.errors import Code, Denied, NotDone, PatrolError, Unclear
from shared.model.items import User
from shared.model.ports import Events
from shared.report.brief import Brief
from shared.report.kept_run import KeptRun, MessageDone, part_json, put_together, read_part, read_run, run_json
from shared.report.order import Order, order_json, read_order
from shared.services import blob_containers
from shared.services.blob_containers import refused_with
from shared.services.host_storage import Storage
from shared.services.identity import NoToken

CONTAINER = "patrol-runs"
MESSAGES_IN_A_BLOB = 10_000
"""Five deliveries each are 50,000 blocks (REST reference, Append Block)."""

ORDERS_IN_A_BLOB = 500
"""Each message reads one such blob."""

# Another made it before: for a blob the one, for a condition on it the other.
_THERE = (requests.codes.conflict, requests.codes.precondition_failed)
_DAY = re.compile(r"\d{4}-\d\d-\d\d/")
_JSON = ContentSettings(content_type="application/json")

Answer = TypeVar("Answer")


class BlobReports:
    """`history.History` over a container. Writing that fails is told once for each run, and rotation goes on."""

    def __init__(
        self,
        storage: Storage,
        credential: TokenCredential,
        session: requests.Session,
        clock: Clock,
        deadline: Deadline,
        tell: Events,
        *,
        folder: str,
        messages_in_a_blob: int = MESSAGES_IN_A_BLOB,
    ) -> None:
        self._container = blob_containers.container(storage, CONTAINER, credential, session)
        self._storage = storage
        self._clock = clock
        self._deadline = deadline
        self._tell = tell
        self._folder = folder
        self._in_a_blob = messages_in_a_blob

    def keep(self, run: KeptRun, orders: Sequence[Order] = ()) -> bool:
        body = json.dumps(run_json(run)).encode()
        facts = Brief.of(run).facts()

        def write() -> bool:
            for number in range(-(-len(orders) // ORDERS_IN_A_BLOB)):
                mine = orders[number * ORDERS_IN_A_BLOB : (number + 1) * ORDERS_IN_A_BLOB]
                lines = "".join(json.dumps(order_json(order)) + "\n" for order in mine)
                self._ask(self._blob(run.run_id, f"{number}.orders").upload_blob, data=lines.encode(), overwrite=True)
            blob = self._blob(run.run_id, "json")
            self._ask(blob.upload_blob, data=body, overwrite=True, metadata=facts, content_settings=_JSON)
            return True

        return self._write(run.run_id, write) or False

    def order(self, run_id: str, part: int) -> Order | None:
        number, line = divmod(part - 1, ORDERS_IN_A_BLOB)
        try:
            lines = (self._download(self._blob(run_id, f"{number}.orders")) or b"").splitlines()
            return read_order(json.loads(lines[line])) if line < len(lines) else None
        except (KeyError, TypeError, ValueError):
            self._garbled(run_id)
        except Exception as failure:  # noqa: BLE001  # whatever the SDK makes of an odd answer
            self._unreadable(failure)

    def add(self, run_id: str, part: MessageDone, of: int) -> bool:
        line = json.dumps(part_json(part)).encode() + b"\n"
        number = (part.part - 1) // self._in_a_blob

        def write() -> int:
            blob = self._blob(run_id, f"{number}.{'parts' if part.final else 'tries'}")
            try:
                answer = self._ask(blob.append_block, data=line)
            except Exception as failure:  # judged by its status
                if not refused_with(failure, requests.codes.not_found):
                    raise
                self._begin(blob)
                answer = self._ask(blob.append_block, data=line)
            return int(str(answer["blob_committed_block_count"]))

        ended = self._write(run_id, write) or 0
        return part.final and ended >= min(self._in_a_blob, of - number * self._in_a_blob)

    def read(self, run_id: str) -> KeptRun | None:
        try:
            body = self._download(self._blob(run_id, "json"))
            run = None if body is None else read_run(json.loads(body))
            if run is None or run.finished_at is not None:
                return run
            return put_together(run, self._parts(run), self._clock.now())
        except (KeyError, TypeError, ValueError):
            self._garbled(run_id)
        except Exception as failure:  # noqa: BLE001  # whatever the SDK makes of an odd answer
            self._unreadable(failure)

    def latest(self, most: int, *, settled: bool = True) -> tuple[Brief, ...]:
        found: list[Brief] = []
        try:
            for day in self._days():
                found += sorted(self._of_day(day), key=lambda brief: brief.run_id, reverse=True)
                if len(found) >= most:
                    break
        except Exception as failure:  # noqa: BLE001  # as above
            self._unreadable(failure)
        return tuple(self._settled(brief) if settled else brief for brief in found[:most])

    def looked(self, user: User) -> None:
        def write() -> None:
            blob = self._container.get_blob_client(f"{self._folder}/looks/{user.digest}")
            self._ask(blob.upload_blob, data=b"", length=0, overwrite=True)

        self._write(None, write)

    def looks(self) -> Mapping[str, datetime]:
        prefix = f"{self._folder}/looks/"
        try:
            blobs = self._list(self._container.list_blobs, prefix)
        except Exception as failure:  # noqa: BLE001  # then everybody is looked at
            self._told(None, failure)
            return {}
        return {blob.name.removeprefix(prefix): blob.last_modified.astimezone(UTC) for blob in blobs}

    def _days(self) -> list[str]:
        """The folders of the days that have reports, latest first."""
        found = self._list(self._container.walk_blobs, f"{self._folder}/", delimiter="/")
        days = [blob.name for blob in found if _DAY.fullmatch(blob.name.removeprefix(f"{self._folder}/"))]
        return sorted(days, reverse=True)

    def _of_day(self, day: str) -> Iterable[Brief]:
        for blob in self._list(self._container.list_blobs, day, include=["metadata"]):
            run_id, _, kind = blob.name.removeprefix(day).partition(".")
            # Somebody else's blob is no run.
            with suppress(KeyError, ValueError):
                if kind == "json" and run_ids.is_id(run_id):
                    yield Brief.of_facts(run_id, blob.metadata or {})

    def _settled(self, brief: Brief) -> Brief:
        """A run that waits for messages, as it stands now; as it began where that cannot be read."""
        run = None
        if brief.finished_at is None:
            with suppress(PatrolError):
                run = self.read(brief.run_id)
        return brief if run is None else Brief.of(run)

    def _parts(self, run: KeptRun) -> Iterable[MessageDone]:
        for number in range(-(-len(run.waiting) // self._in_a_blob)):
            for kind in ("tries", "parts"):
                lines = self._download(self._blob(run.run_id, f"{number}.{kind}")) or b""
                yield from (read_part(json.loads(line)) for line in lines.splitlines() if line.strip())

    def _blob(self, run_id: str, kind: str) -> BlobClient:
        return self._container.get_blob_client(f"{self._folder}/{run_ids.day_of(run_id)}/{run_id}.{kind}")

    def _begin(self, blob: BlobClient) -> None:
        """Make an append blob, and the container before it; another may make either at the same moment."""
        for _ in range(2):
            try:
                self._ask(blob.create_append_blob, match_condition=MatchConditions.IfMissing)
            except Exception as failure:
                if refused_with(failure, *_THERE):
                    return
                if not refused_with(failure, requests.codes.not_found):
                    raise
            else:
                return
            self._make_container()

    def _make_container(self) -> None:
        with suppress(Exception):  # another made it, or the next call says why not
            self._ask(self._container.create_container)

    def _download(self, blob: BlobClient) -> bytes | None:
        try:
            body: Any = self._ask(blob.download_blob).readall()
        except Exception as failure:
            if not refused_with(failure, requests.codes.not_found):
                raise
            return None
        return bytes(body)

    def _list(self, listing: Callable[..., Iterable[Any]], prefix: str, **given: Any) -> list[Any]:
        try:
            return list(self._ask(listing, name_starts_with=prefix, **given))
        except Exception as failure:  # judged by its status
            if not refused_with(failure, requests.codes.not_found):
                raise
            return []

    def _ask(self, call: Callable[..., Answer], **given: Any) -> Answer:
        return call(**given, **blob_containers.limits(self._deadline))

    def _write(self, run_id: str | None, write: Callable[[], Answer]) -> Answer | None:
        """Twice: the container may not be there yet, an answer may be lost, and none of these writes minds."""
        try:
            try:
                return write()
            except Exception as failure:  # noqa: BLE001  # judged by its status
                if refused_with(failure, requests.codes.not_found):
                    self._make_container()
                return write()
        except Exception as failure:  # noqa: BLE001  # whatever the SDK makes of an odd answer, rotation goes on
            self._told(run_id, failure)
            return None

    def _told(self, run_id: str | None, failure: Exception) -> None:
        cause = blob_containers.cause(self._container.primary_hostname, "reports", failure)
        says = f"{cause} {blob_containers.remedy(self._storage, failure)}"
        self._tell("report.failed", run_id=run_id, says=says)

    def _garbled(self, run_id: str) -> NoReturn:
        says = f"The report of run {run_id} is not readable."
        raise NotDone(Code.REPORT_UNREADABLE, says, "Look at the log: its events carry the run's id.") from None

    def _unreadable(self, failure: Exception) -> NoReturn:
        cause = blob_containers.cause(self._container.primary_hostname, "reports", failure)
        kind = Denied if refused_with(failure, 401, 403) or isinstance(failure, NoToken) else Unclear
        raise kind(Code.REPORT_UNREADABLE, cause, blob_containers.remedy(self._storage, failure)) from None
