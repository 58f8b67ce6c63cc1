"""What stands in for `ports.Links` where no storage is configured: a link would outlive nobody's process."""

from __future__ import annotations

from shared.model.enrollment import Link
from shared.model.errors import Code, Misconfigured


class NoLinks:
    """`Links` without a storage."""

    def keep(self, link: Link) -> None:  # noqa: ARG002  # nowhere
        raise Misconfigured(
            Code.SETTINGS_INVALID,
            "A link to enroll by cannot be kept: no storage of a Functions host is configured.",
            "Set AzureWebJobsStorage, or AzureWebJobsStorage__accountName and its companions (README, Settings).",
        )

    def look(self, ticket: str) -> Link | None:  # noqa: ARG002  # nothing is kept
        return None

    def take(self, ticket: str) -> Link | None:  # noqa: ARG002  # nothing is kept
        return None
