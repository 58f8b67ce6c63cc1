"""Leases on blobs, against Azurite: one turn at a time, freed when its holder dies, never in the way of a rotation."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.storage.blob import BlobClient, BlobLeaseClient, BlobServiceClient

from sandbox.functions_host.azurite import KEY, Azurite, azurite, free_port
from shared.model.clock import Deadline, SystemClock
from shared.model.errors import Busy, Code
from shared.model.secret_text import SecretText
from shared.services.blob_leases import CONTAINER, BlobLeases
from shared.services.host_storage import ByConnectionString

CLOCK = SystemClock()


def patience(seconds: float) -> Deadline:
    """How long somebody waits for a turn."""
    return Deadline.after(CLOCK, timedelta(seconds=seconds))


AT_ONCE = patience(0)


class NoIdentity:
    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        raise AssertionError("a connection string needs no identity")


@dataclass
class Runner:
    """One runner: its leases, and what it told."""

    connection_string: str
    name: str = "instance-a"
    folder: str = "patrol/tests-abc123"
    seconds: int = 15
    tick: float = 0.1
    budget: timedelta = timedelta(minutes=1)
    grace: timedelta = timedelta(minutes=1)
    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def leases(self) -> BlobLeases:
        return BlobLeases(
            ByConnectionString(SecretText(self.connection_string)),
            NoIdentity(),
            requests.Session(),
            CLOCK,
            Deadline.after(CLOCK, self.budget, self.grace),
            self.tell,
            folder=self.folder,
            holder=self.name,
            seconds=self.seconds,
            tick=self.tick,
        )

    def tell(self, name: str, /, **fields: object) -> None:
        self.told.append((name, fields))


@pytest.fixture(scope="module")
def storage(npm: None) -> Iterator[Azurite]:
    with azurite() as running:
        yield running


@pytest.fixture
def secret(request: pytest.FixtureRequest) -> str:
    """An item of this test's own."""
    return str(request.node.name).replace("_", "-")[:100]


def blob_of(storage: Azurite, secret: str, folder: str = Runner.folder) -> BlobClient:
    service = BlobServiceClient.from_connection_string(storage.connection_string)
    return service.get_blob_client(CONTAINER, f"{folder}/{secret}")


def test_an_item_has_one_turn_at_a_time_and_is_free_when_it_is_left(storage: Azurite, secret: str) -> None:
    one, two = Runner(storage.connection_string).leases(), Runner(storage.connection_string).leases()
    with (
        one.take(secret, AT_ONCE),
        pytest.raises(Busy, match="Another runner is rotating it") as refused,
        two.take(secret, AT_ONCE),
    ):
        pass
    assert refused.value.code is Code.ROTATED_ELSEWHERE
    with two.take(secret, AT_ONCE):
        pass


def test_items_of_one_storage_do_not_hinder_one_another(storage: Azurite, secret: str) -> None:
    one, two = Runner(storage.connection_string).leases(), Runner(storage.connection_string).leases()
    other_deployment = Runner(storage.connection_string, folder="patrol/other-def456").leases()
    with (
        one.take(secret, AT_ONCE),
        two.take(f"{secret}-too", AT_ONCE),
        other_deployment.take(secret, AT_ONCE),
    ):
        pass


def test_names_of_secrets_are_the_same_whatever_their_case(storage: Azurite, secret: str) -> None:
    one, two = Runner(storage.connection_string).leases(), Runner(storage.connection_string).leases()
    with one.take(secret.upper(), AT_ONCE), pytest.raises(Busy), two.take(secret.lower(), AT_ONCE):
        pass


def test_a_turn_that_was_waited_for_says_look_again(storage: Azurite, secret: str) -> None:
    one, two = Runner(storage.connection_string), Runner(storage.connection_string)
    first = ExitStack()
    first.enter_context(one.leases().take(secret, AT_ONCE))

    def wait() -> timedelta | None:
        with two.leases().take(secret, patience(30)) as turn:
            return turn.idle()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        while blob_of(storage, secret).get_blob_properties().metadata.get("holder") is None:
            CLOCK.sleep(timedelta(seconds=0.05))
        assert not waiting.done()
        first.close()
        assert waiting.result(timeout=30) == timedelta(0)


def test_nobody_ever_worked_on_an_item_that_is_new(storage: Azurite, secret: str) -> None:
    with Runner(storage.connection_string).leases().take(secret, AT_ONCE) as turn:
        assert turn.idle() is None


def test_the_next_turn_knows_how_long_ago_another_worked(storage: Azurite, secret: str) -> None:
    before = CLOCK.now()
    with Runner(storage.connection_string).leases().take(secret, AT_ONCE) as turn:
        turn.worked()
    with Runner(storage.connection_string).leases().take(secret, AT_ONCE) as turn:
        idle = turn.idle()
    assert idle is not None
    assert timedelta(0) <= idle <= CLOCK.now() - before, "never longer than it was"


def test_who_holds_an_item_and_since_when_is_told(storage: Azurite, secret: str) -> None:
    holder = Runner(storage.connection_string, name="host-1 (process 7)").leases()
    other = Runner(storage.connection_string).leases()
    before = CLOCK.now().replace(microsecond=0)
    with holder.take(secret, AT_ONCE):
        while not (written := blob_of(storage, secret).get_blob_properties().metadata):
            CLOCK.sleep(timedelta(seconds=0.05))
        with pytest.raises(Busy) as refused, other.take(secret, AT_ONCE):
            pass
    assert f"host-1 (process 7) since {written['since']}" in refused.value.cause
    assert written["since"] >= before.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert blob_of(storage, secret).get_blob_properties().metadata == {}, "a turn that is over names nobody"


def test_a_holder_that_died_frees_the_item_by_expiry_and_one_that_lives_keeps_it(storage: Azurite, secret: str) -> None:
    living, waiting = Runner(storage.connection_string).leases(), Runner(storage.connection_string).leases()
    kept, died = f"{secret}-kept", f"{secret}-died"
    began = CLOCK.now()
    with living.take(kept, AT_ONCE):
        blob = blob_of(storage, died)
        blob.upload_blob(b"")
        BlobLeaseClient(blob).acquire(lease_duration=15)
        with waiting.take(died, patience(40)) as turn:
            assert turn.idle() == timedelta(0), "it may have worked before it died"
        assert CLOCK.now() - began > timedelta(seconds=13)
        # A lease that is not renewed would be over by now.
        CLOCK.sleep(timedelta(seconds=16) - (CLOCK.now() - began))
        with pytest.raises(Busy), waiting.take(kept, AT_ONCE):
            pass


def test_an_abandoned_runner_keeps_nothing_after_its_time(storage: Azurite, secret: str) -> None:
    over = Runner(storage.connection_string, budget=timedelta(0), grace=timedelta(seconds=2))
    with over.leases().take(secret, AT_ONCE):
        CLOCK.sleep(timedelta(seconds=3))
        with Runner(storage.connection_string).leases().take(secret, patience(40)):
            pass


def test_a_lease_that_a_person_broke_is_told_and_the_work_goes_on(storage: Azurite, secret: str) -> None:
    runner = Runner(storage.connection_string)
    with runner.leases().take(secret, AT_ONCE) as turn:
        BlobLeaseClient(blob_of(storage, secret)).break_lease(lease_break_period=0)
        turn.worked()
    assert [name for name, _ in runner.told] == ["lease.lost"]
    assert str(runner.told[0][1]["says"]).startswith(f"{secret}: the lease on it was lost")


def test_promise_5_without_an_answer_from_the_storage_work_goes_on_and_it_is_told_once(secret: str) -> None:
    nowhere = Azurite(free_port(), free_port())
    runner = Runner(nowhere.connection_string)
    leases = runner.leases()
    for name in (secret, f"{secret}-too"):
        with leases.take(name, AT_ONCE) as turn:
            assert turn.idle() == timedelta(0), "not known: look again"
            turn.worked()
    assert [name for name, _ in runner.told] == ["lease.unavailable"]
    assert "no answer" in str(runner.told[0][1]["says"])


def test_promise_5_a_storage_that_hangs_holds_a_run_no_longer_than_a_call_may_take(secret: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        runner = Runner(
            Azurite(silent.getsockname()[1], free_port()).connection_string,
            budget=timedelta(0),
            grace=timedelta(seconds=2),
        )
        began = CLOCK.now()
        with runner.leases().take(secret, AT_ONCE):
            pass
    assert CLOCK.now() - began < timedelta(seconds=8)
    assert [name for name, _ in runner.told] == ["lease.unavailable"]


def test_promise_7_a_wrong_key_is_told_with_its_remedy_and_without_itself(storage: Azurite, secret: str) -> None:
    wrong = storage.connection_string.replace(KEY, "d3JvbmcgYnV0IHdlbGwtZm9ybWVkIGtleQ==")
    runner = Runner(wrong)
    with runner.leases().take(secret, AT_ONCE):
        pass
    says = str(runner.told[0][1]["says"])
    assert "HTTP 403" in says
    assert "Correct the key or signature in AzureWebJobsStorage" in says
    assert "d3JvbmcgYnV0" not in says


def test_the_blobs_hold_no_content(storage: Azurite, secret: str) -> None:
    with Runner(storage.connection_string).leases().take(secret, AT_ONCE) as turn:
        turn.worked()
    assert blob_of(storage, secret).download_blob().readall() == b""
