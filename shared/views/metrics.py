"""The state of the estate for Prometheus: gauges alone, as OpenMetrics text that older parsers read too. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from shared.report.brief import last_run
from shared.rotation.overview import Overview
from shared.rotation.status import ItemStatus
from shared.views.attention import expected, needs
from shared.views.html import plain

if TYPE_CHECKING:
    from prometheus_client import Metric

MIMETYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_OF_A_PAT = ("vault", "secret", "organization")
OUTCOMES = ("succeeded", "partial", "failed")


def text(seen: Overview, vault: str, version: str) -> str:
    """`vault`: its host. Every name begins with `patrol_`; instants are seconds since 1970, by the vault's clock."""
    from prometheus_client.openmetrics.exposition import generate_latest

    found: bytes = generate_latest(_Gauges(seen, vault, version))  # type: ignore[no-untyped-call]
    return found.decode()


class _Gauges:
    """What the library's writer asks of a registry."""

    def __init__(self, seen: Overview, vault: str, version: str) -> None:
        self._seen = seen
        self._vault = vault
        self._version = version

    def collect(self) -> Iterator[Metric]:
        yield from self._pats()
        yield from self._users()
        yield from self._runs()
        yield from self._rest()

    def _pats(self) -> Iterator[Metric]:
        rows = self._seen.status.pats
        yield _gauge(
            "patrol_pat_expiration_timestamp_seconds",
            "When the published value stops working.",
            _OF_A_PAT,
            ((self._labels(row), row.expires_on.timestamp()) for row in rows if row.expires_on),
        )
        yield _gauge(
            "patrol_pat_due_timestamp_seconds",
            "When a run replaces or renews it.",
            _OF_A_PAT,
            ((self._labels(row), row.due_at.timestamp()) for row in rows if row.due_at),
        )
        yield _gauge(
            "patrol_pat_state",
            "1, with the state that the PAT is in.",
            (*_OF_A_PAT, "state"),
            (((*self._labels(row), row.state), 1.0) for row in rows),
        )
        yield _gauge(
            "patrol_pat_overdue",
            "1 when half of the time to replace it is gone, and no run did.",
            _OF_A_PAT,
            ((self._labels(row), float(row.overdue)) for row in rows),
        )

    def _users(self) -> Iterator[Metric]:
        status = self._seen.status
        names = {row.username.casefold(): row.username for row in status.pats if not row.is_token}
        names = {**{user: user for user in status.blocks}, **names}
        yield _gauge(
            "patrol_user_blocked",
            "1 when the technical user's sign-in was refused and is not tried.",
            ("username",),
            (((name,), float(user in status.blocks)) for user, name in sorted(names.items())),
        )
        yield _gauge(
            "patrol_cause_items",
            "What waits for a person, by cause: how many PATs it holds up; 0 where it concerns no PAT.",
            ("cause", "subject"),
            _summed(
                ((need.cause.code, need.cause.subject), float(len(need.cause.secrets))) for need in needs(self._seen)
            ),
        )

    def _runs(self) -> Iterator[Metric]:
        runs = self._seen.runs
        last = last_run(brief for brief in runs.latest if brief.finished_at is not None)
        at, _ = expected(runs)
        yield _gauge(
            "patrol_run_last_finished_timestamp_seconds",
            "When the last run that was meant finished; absent where no report is kept.",
            ("door",),
            [((last.door,), last.finished_at.timestamp())] if last is not None and last.finished_at else (),
        )
        yield _gauge(
            "patrol_run_last_outcome",
            "1 for the outcome of that run.",
            ("outcome",),
            (((outcome,), float(last.outcome == outcome)) for outcome in OUTCOMES) if last is not None else (),
        )
        yield _gauge(
            "patrol_run_next_expected_timestamp_seconds",
            "When the next run is expected, by the pace of those before it.",
            (),
            [((), at.timestamp())] if at is not None else (),
        )

    def _rest(self) -> Iterator[Metric]:
        for what, says in (
            ("credential", "When something that patrol signs in or pushes with ends, where that is known."),
            ("enrollment", "When the sign-in of an enrolled user ends, where that is known."),
        ):
            yield _gauge(
                f"patrol_{what}_expiration_timestamp_seconds",
                says,
                ("secret",),
                (((one.name,), one.at.timestamp()) for one in self._seen.endings if one.what == what),
            )
        yield _gauge(
            "patrol_seen_timestamp_seconds",
            "When this was seen, in the vault alone.",
            ("vault", "version"),
            [((self._vault, self._version), self._seen.status.as_of.timestamp())],
        )

    def _labels(self, row: ItemStatus) -> tuple[str, ...]:
        return row.vault or self._vault, row.secret, row.organization


def _gauge(name: str, says: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    made = GaugeMetricFamily(name, says, labels=labels)
    for values, value in samples:
        made.add_metric([plain(value_of) for value_of in values], value)
    return made


def _summed(samples: Iterable[tuple[tuple[str, ...], float]]) -> Iterable[tuple[tuple[str, ...], float]]:
    """Causes that differ in their words alone are one series."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in samples:
        found[labels] = found.get(labels, 0.0) + value
    return sorted(found.items())
