"""The inventory as blobs: read at each run, read again only when it changed, and never replaced by a copy of before."""

from __future__ import annotations

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError

from sandbox.cloud.foreign_answers import FORMS, STATUSES, foreign_answer
from shared.inventory import files
from shared.model.errors import Code, Misconfigured
from shared.model.inventory_files import LARGEST, MOST_FILES, InventoryFiles
from shared.services import blob_address
from shared.services.blob_address import BlobAddress
from shared.services.inventory_blobs import InventoryBlobs
from tests.lab.blob_storage import BlobStorage, Identity, refusal
from tests.lab.inventory_texts import CLIENT, TENANT, with_item

PUBLIC = "login.microsoftonline.com"
ACCOUNT = "https://contoso.blob.core.windows.net"
HEAD = f"sign_in: {{tenant: {TENANT}, client_id: {CLIENT}}}\ndefaults: {{organization: contoso}}\n"
TEAM = """\
users:
  - username: svc-{0}@contoso.com
    password_secret_name: svc-{0}-password
    pats: [{{secret: {0}-pat, scopes: [vso.code]}}]
"""


def address(path: str) -> BlobAddress:
    return blob_address.read(f"{ACCOUNT}/{path}", PUBLIC)


def blobs(storage: BlobStorage, path: str, identity: Identity | None = None) -> InventoryBlobs:
    return InventoryBlobs(address(path), identity or Identity(), storage.session(), wait=0)


def one(text: str | None = None) -> BlobStorage:
    return BlobStorage({"inventory/pats.yaml": (with_item() if text is None else text).encode()})


def folder() -> BlobStorage:
    texts = {"platform": HEAD, "web": TEAM.format("web"), "data": TEAM.format("data")}
    storage = BlobStorage({f"inventory/pats/{name}.yaml": text.encode() for name, text in texts.items()})
    storage.write("inventory/pats/README.md", "no")
    storage.write("inventory/pats/deeper/more.yaml", "[")
    storage.write("inventory/other.yaml", "[")
    return storage


def refused(read: InventoryBlobs) -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        files.load(read.read())
    assert caught.value.code is Code.INVENTORY_UNREADABLE
    return caught.value


def secrets(read: InventoryFiles) -> list[str]:
    return sorted(item.secret for item in files.load(read).items())


# --- what is read -----------------------------------------------------------------------------------------------------


def test_one_blob_is_an_inventory_and_is_read_with_patrol_s_own_identity() -> None:
    storage, identity = one(), Identity()
    read = blobs(storage, "inventory/pats.yaml", identity).read()
    assert secrets(read) == ["build-feed"]
    assert not read.several, "a mistake in it is told as in a file"
    assert set(identity.scopes) == {"https://storage.azure.com/.default"}


def test_a_folder_of_blobs_is_its_yaml_files_and_nothing_below_or_beside() -> None:
    read = blobs(folder(), "inventory/pats/").read()
    assert [file.name for file in read.files] == ["data.yaml", "platform.yaml", "web.yaml"]
    assert secrets(read) == ["data-pat", "web-pat"]


def test_a_whole_container_is_a_folder_too() -> None:
    storage = BlobStorage({"inventory/a.yaml": HEAD.encode(), "inventory/b.yaml": TEAM.format("web").encode()})
    assert secrets(blobs(storage, "inventory/").read()) == ["web-pat"]


def test_what_has_not_changed_is_not_read_again() -> None:
    storage = one()
    read = blobs(storage, "inventory/pats.yaml")
    first = read.read()
    assert files.load(read.read()) is files.load(first), "an instance reads it for every message of the queue"
    assert storage.asked == ["GET inventory/pats.yaml 206", "GET inventory/pats.yaml 304"]
    storage.write("inventory/pats.yaml", with_item(secret="next-pat"))
    assert secrets(read.read()) == ["next-pat"]


def test_of_a_folder_only_what_has_changed_is_read_again() -> None:
    storage = folder()
    read = blobs(storage, "inventory/pats/")
    read.read()
    storage.asked.clear()
    storage.write("inventory/pats/web.yaml", TEAM.format("new"))
    del storage.blobs["inventory/pats/data.yaml"]
    assert secrets(read.read()) == ["new-pat"]
    assert [row for row in storage.asked if ".yaml" in row] == ["GET inventory/pats/web.yaml 206"]


def test_an_empty_blob_is_a_file_that_holds_nothing() -> None:
    read = blobs(one(""), "inventory/pats.yaml").read()
    assert read.files[0].text == ""


# --- what cannot be had -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("inventory/none.yaml", "BlobNotFound"),
        ("nowhere/pats.yaml", "ContainerNotFound"),
        ("nowhere/pats/", "Container"),
    ],
)
def test_a_blob_that_is_not_there_is_told_with_its_address(path: str, says: str) -> None:
    failure = refused(blobs(one(), path))
    assert f"{ACCOUNT}/{path} was not given out (HTTP 404" in failure.cause
    assert says in failure.cause
    assert "Write it there, or correct PATS_FILE" in failure.remedy


def test_a_folder_of_no_blobs_is_told() -> None:
    failure = refused(blobs(one(), "inventory/pats/"))
    assert failure.cause == f"{ACCOUNT}/inventory/pats/ holds no file whose name ends with .yaml."


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "AuthorizationPermissionMismatch", "role Storage Blob Data Reader on that container"),
        (401, "InvalidAuthenticationInfo", "role Storage Blob Data Reader on that container"),
        (403, "AuthorizationFailure", "network rules"),
        (400, "InvalidUri", "Azure Storage"),
    ],
)
@pytest.mark.parametrize("path", ["inventory/pats.yaml", "inventory/"])
def test_promise_8_the_remedy_follows_the_storage_s_own_code(status: int, code: str, says: str, path: str) -> None:
    storage = one()
    storage.always = refusal(status, code)
    failure = refused(blobs(storage, path))
    assert code in failure.cause
    assert says in failure.remedy


@pytest.mark.parametrize("path", ["inventory/pats.yaml", "inventory/"])
@pytest.mark.parametrize("form", FORMS)
def test_rule_2_no_answer_in_foreign_words_is_an_inventory_or_a_refusal(form: str, path: str) -> None:
    for status in (200, 206, 304, *STATUSES):
        storage = one()
        headers, body = foreign_answer(form, status)
        read = blobs(storage, path)
        read.read()  # what is kept of before is not worked on instead
        storage.always = status, headers, b"" if status == 304 else body
        failure = refused(read)
        assert "the role" not in failure.remedy, status
        assert "Write it there" not in failure.remedy, status
        assert "Refused by" not in str(failure), status


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_of_the_storage_is_followed(status: int) -> None:
    storage = one()
    storage.always = status, {"Location": "https://portal.contoso.com/login?token=abc"}, b""
    failure = refused(blobs(storage, "inventory/pats.yaml"))
    assert "portal.contoso.com" in failure.cause
    assert "token=abc" not in str(failure)
    assert len(set(storage.asked)) == 1


def test_an_identity_without_a_token_is_told_as_that() -> None:
    storage = one()
    failure = refused(blobs(storage, "inventory/pats.yaml", Identity(ClientAuthenticationError("AADSTS700016: x"))))
    assert "AADSTS700016" in failure.cause
    assert storage.asked == []


def test_a_storage_that_is_slow_to_come_back_is_asked_three_times() -> None:
    storage = one()
    busy = refusal(503, "ServerBusy")
    storage.fault = [busy, requests.exceptions.ConnectTimeout("x")]
    assert secrets(blobs(storage, "inventory/pats.yaml").read()) == ["build-feed"]
    storage.fault = [busy, busy, busy]
    failure = refused(blobs(storage, "inventory/pats.yaml"))
    assert "HTTP 503" in failure.cause
    assert "next run" in failure.remedy


def test_no_copy_of_before_is_worked_on_when_the_blob_cannot_be_had() -> None:
    storage = one()
    read = blobs(storage, "inventory/pats.yaml")
    read.read()
    del storage.blobs["inventory/pats.yaml"]
    storage.write("inventory/other.yaml", "")
    assert "HTTP 404 BlobNotFound" in refused(read).cause


def test_promise_5_one_blob_of_a_folder_that_cannot_be_had_takes_its_own_items_out() -> None:
    storage = folder()
    read = blobs(storage, "inventory/pats/")
    pages = 3
    storage.fault = [*[None] * pages, refusal(404, "BlobNotFound")]
    inventory = files.load(read.read())
    assert inventory.unread == ("data.yaml",)
    assert [item.secret for item in inventory.items()] == ["web-pat"]
    assert secrets(read.read()) == ["data-pat", "web-pat"]


def test_what_is_larger_than_an_inventory_is_not_read() -> None:
    storage = folder()
    storage.write("inventory/pats/web.yaml", b"#" * (LARGEST + 1))
    inventory = files.load(blobs(storage, "inventory/pats/").read())
    assert inventory.unread == ("web.yaml",)
    failure = refused(blobs(storage, "inventory/pats/web.yaml"))
    assert "has 4.0 MB, more than the 4 MB of one file" in failure.cause
    many = BlobStorage({f"inventory/{number}.yaml": b"x" for number in range(MOST_FILES + 1)})
    assert "more than 1000 files" in refused(blobs(many, "inventory/")).cause
    assert all("list" not in row and ".yaml" not in row for row in many.asked)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "authority", "container", "blob"),
    [
        ("https://contoso.blob.core.windows.net/inventory/pats.yaml", PUBLIC, "inventory", "pats.yaml"),
        ("https://contoso.blob.core.windows.net/inventory/", PUBLIC, "inventory", ""),
        ("https://CONTOSO.blob.core.windows.net:443/inventory/teams/", PUBLIC, "inventory", "teams/"),
        ("https://contoso.blob.core.windows.net/inventory/team%20web.yaml", PUBLIC, "inventory", "team web.yaml"),
        ("https://contoso.z01.blob.storage.azure.net/inventory/pats.yaml", PUBLIC, "inventory", "pats.yaml"),
        ("https://contoso.blob.core.usgovcloudapi.net/inventory/", "login.microsoftonline.us", "inventory", ""),
        ("https://contoso.blob.core.chinacloudapi.cn/inventory/", "login.chinacloudapi.cn", "inventory", ""),
    ],
)
def test_an_address_names_account_container_and_blob(text: str, authority: str, container: str, blob: str) -> None:
    read = blob_address.read(text, authority)
    assert (read.container, read.blob, read.is_folder) == (container, blob, blob == "" or blob.endswith("/"))
    assert blob_address.read(str(read).replace(" ", "%20"), authority) == read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://contoso.blob.core.windows.net/inventory/pats.yaml", "does not begin with https://"),
        ("https://contoso.blob.core.windows.net/inventory/pats.yaml?sv=1&sig=abc", "leave out the signature"),
        ("https://key@contoso.blob.core.windows.net/inventory/pats.yaml", "leave out the signature"),
        ("https://contoso.blob.core.windows.net.evil.example/inventory/", "storage account of this cloud"),
        ("https://evil.example/contoso.blob.core.windows.net/inventory/", "storage account of this cloud"),
        ("https://contoso.dfs.core.windows.net/inventory/", "storage account of this cloud"),
        ("https://contoso.blob.core.usgovcloudapi.net/inventory/", "storage account of this cloud"),
        ("https://contoso.blob.core.windows.net:8443/inventory/", "storage account of this cloud"),
        ("https://contoso.blob.core.windows.net", "a container and a blob in it"),
        ("https://contoso.blob.core.windows.net/inventory", "a container and a blob in it"),
        ("https://contoso.blob.core.windows.net/$web/pats.yaml", "a container and a blob in it"),
        ("https://contoso.blob.core.windows.net/inventory/../other/pats.yaml", "no file's name holds"),
        ("https://contoso.blob.core.windows.net/inventory//pats.yaml", "no file's name holds"),
        ("https://contoso.blob.core.windows.net/inventory/%0a.yaml", "no file's name holds"),
        ("https://[x/inventory/", "is not an address"),
    ],
)
def test_promise_7_no_other_address_is_asked_and_none_is_repeated(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        blob_address.read(text, PUBLIC)
    assert "sig=abc" not in str(caught.value)
    assert "evil" not in str(caught.value)
