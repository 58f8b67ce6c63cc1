"""One suite for what recipients were told: a blob in Azurite, and memory. They cannot drift."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import pytest
import requests
from azure.storage.blob import BlobServiceClient

from sandbox.functions_host.azurite import Azurite, azurite
from shared.model.clock import Deadline, SystemClock
from shared.model.errors import Code, NotDone, Unclear
from shared.model.secret_text import SecretText
from shared.report.told import Memory, ToldBefore
from shared.services.blob_told import CONTAINER, BlobTold
from shared.services.host_storage import ByConnectionString
from tests.lab.fakes import FakeTold
from tests.services.test_blob_reports import NoIdentity

UNTIL = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def storage(npm: None) -> Iterator[Azurite]:
    with azurite() as running:
        yield running


def blob(storage: Azurite, folder: str) -> BlobTold:
    opened = ByConnectionString(SecretText(storage.connection_string))
    deadline = Deadline.after(SystemClock(), timedelta(minutes=5))
    return BlobTold(opened, NoIdentity(), requests.Session(), deadline, folder=folder)


@pytest.fixture(params=["fake", pytest.param("blob", marks=pytest.mark.exhaustive)])
def told(request: pytest.FixtureRequest) -> ToldBefore:
    if request.param == "fake":
        return FakeTold()
    return blob(request.getfixturevalue("storage"), f"patrol/tests-{token_hex(4)}")


def expecting(*runs: str) -> Memory:
    return Memory(unfinished=dict.fromkeys(runs, UNTIL))


def test_rule_19_what_was_told_is_remembered(told: ToldBefore) -> None:
    memory, read_as = told.read()
    assert memory == Memory()
    assert told.write(expecting("a"), read_as)
    memory, read_as = told.read()
    assert memory == expecting("a")
    assert told.write(expecting("a", "b"), read_as)
    assert told.read()[0] == expecting("a", "b")


def test_rule_19_a_write_after_another_s_changes_nothing(told: ToldBefore) -> None:
    for before in ("first", "later"):
        _, read_as = told.read()
        assert told.write(expecting(before), read_as)
        assert not told.write(expecting("too-late"), read_as)
        assert told.read()[0] == expecting(before)


@pytest.mark.exhaustive
def test_rule_19_of_many_that_write_at_one_moment_one_does(storage: Azurite) -> None:
    folder = f"patrol/tests-{token_hex(4)}"
    for _ in range(2):
        blobs = [blob(storage, folder) for _ in range(8)]
        writers = [(one, one.read()[1], expecting(f"run-{at}")) for at, one in enumerate(blobs)]
        with ThreadPoolExecutor(8) as pool:
            wrote = list(pool.map(lambda one: one[0].write(one[2], one[1]), writers))
        assert sum(wrote) == 1
        assert blob(storage, folder).read()[0] == expecting(f"run-{wrote.index(True)}")


@pytest.mark.exhaustive
def test_promise_8_what_is_no_memory_is_told_and_no_storage_is_unclear(storage: Azurite) -> None:
    folder = f"patrol/tests-{token_hex(4)}"
    told = blob(storage, folder)
    assert told.write(Memory(), "")
    service = BlobServiceClient.from_connection_string(storage.connection_string)
    service.get_blob_client(CONTAINER, f"{folder}/told.json").upload_blob(b"[]", overwrite=True)
    with pytest.raises(NotDone) as caught:
        told.read()
    assert (caught.value.code, "Delete that blob" in caught.value.remedy) == (Code.NOTICES_UNKEPT, True)
    gone = ByConnectionString(SecretText(storage.connection_string.replace(str(storage.blobs), "1")))
    deadline = Deadline.after(SystemClock(), timedelta(seconds=5), timedelta(0))
    nowhere = BlobTold(gone, NoIdentity(), requests.Session(), deadline, folder=folder)
    with pytest.raises(Unclear):
        nowhere.read()
