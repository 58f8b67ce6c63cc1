"""Global (all-organizations) PATs: what to say of them before and after the day they stopped working, and what instead.

Source: Azure DevOps release notes, sprint 270.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from shared.cli.arguments import PROGRAM
from shared.inventory.item_lines import Lines, flow, item_of, name_of, shown_name
from shared.model.pats import Pat

END = datetime(2026, 12, 1, tzinfo=UTC)


def is_global(pat: Pat) -> bool:
    """Whether it works in every organization of its user."""
    return pat.organization_id is None


def cause(pat: Pat, now: datetime) -> str:
    """One sentence that is right before that day and after it."""
    what = f"{shown_name(pat)} ({pat.id}) is a global (all-organizations) PAT"
    if now < END:
        return f"{what}: it stops working on {END:%Y-%m-%d}."
    return f"{what}: those stopped working on {END:%Y-%m-%d}."


def remedy(pat: Pat, username: str, organizations: Iterable[str]) -> str:
    """What to replace it by: one PAT for each organization; `organizations` are those whose listing shows it."""
    names = sorted(set(organizations), key=str.casefold)
    items = [line for name in names if (line := _item(pat, name))]
    wanted = f"Replace it by one PAT for each organization that uses it (it is listed in {', '.join(names)})"
    revoke = f"`{PROGRAM} pats revoke {pat.id} --user {username} --organization {names[0]}`"
    if not items:
        return f"{wanted}; then end it: {revoke}."
    lines = " ".join(f"`{flow(item)}`" for item in items)
    write = f"under `pats:` of {username} in pats.yaml write {lines}"
    return f"{wanted}: {write}. When its consumers read those, end it: {revoke}."


def _item(pat: Pat, organization: str) -> Lines | None:
    name = f"{name_of(pat)}-{organization.lower()}"
    try:
        return item_of(pat, name, organization)[0]
    except ValueError:
        return None
