"""Links to enroll by in the host's storage: one use, also of two that come at one moment (Azurite)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import requests

from sandbox.functions_host.azurite import Azurite, azurite
from shared.model.clock import Deadline, SystemClock
from shared.model.enrollment import Link, SignInPage
from shared.model.secret_text import SecretText
from shared.services.blob_links import CONTAINER, BlobLinks
from shared.services.host_storage import ByConnectionString
from tests.services.test_blob_reports import NoIdentity


@pytest.fixture(scope="module")
def storage(npm: None) -> Iterator[Azurite]:
    with azurite() as running:
        yield running


@pytest.fixture
def links(storage: Azurite) -> BlobLinks:
    clock = SystemClock()
    opened = ByConnectionString(SecretText(storage.connection_string))
    deadline = Deadline.after(clock, timedelta(minutes=5))
    return BlobLinks(opened, NoIdentity(), requests.Session(), clock, deadline, folder="patrol/tests-abc123")


def a_link(ticket: str) -> Link:
    page = SignInPage("https://login.microsoftonline.com/x", ticket, SecretText('{"code_verifier": "v"}'))
    now = datetime.now(UTC).replace(microsecond=0)
    return Link("svc@contoso.com", page, "https://x/api/enroll/callback", now + timedelta(minutes=10))


def test_rule_16_a_link_is_kept_looked_at_and_taken_once(links: BlobLinks) -> None:
    link = a_link("t" * 43)
    links.keep(link)
    for found in (links.look("t" * 43), links.look("t" * 43), links.take("t" * 43)):
        assert found is not None
        assert (found.username, found.expires_at, found.page.url) == (link.username, link.expires_at, link.page.url)
        assert found.page.kept.reveal() == link.page.kept.reveal()
    assert links.take("t" * 43) is None
    assert links.look("t" * 43) is None


def test_rule_16_of_many_that_come_at_one_moment_one_gets_it(links: BlobLinks) -> None:
    links.keep(a_link("u" * 43))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: links.take("u" * 43), range(8)))
    assert sum(one is not None for one in found) == 1


def test_promise_7_who_lists_the_container_sees_no_ticket(links: BlobLinks, storage: Azurite) -> None:
    from azure.storage.blob import ContainerClient

    links.keep(a_link("w" * 43))
    with ContainerClient.from_connection_string(storage.connection_string, CONTAINER) as container:
        assert not any("w" * 43 in blob.name for blob in container.list_blobs())
