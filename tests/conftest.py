"""How tests run, and what holds for every one: no secret shows up in anything that leaves the product (promise 7)."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.lab import lab
from tests.lab.what_ran import WhatRan

# One commit, one verdict: tests draw the same examples every time; `make chaos` draws new ones.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--what-ran", action="store_true", help="tell at the end what was covered and what took longest")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--what-ran"):
        config.pluginmanager.register(WhatRan())


@pytest.fixture(scope="session")
def npm() -> None:
    """What `make node` installs. A test or fixture that takes it is one of `make test-all`."""


@pytest.fixture(scope="session")
def packaged() -> None:
    """What `make package` builds. A test or fixture that takes it is one of `make test-all`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` needs neither, so whatever takes them is not part of it."""
    for item in items:
        if {"npm", "packaged"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.exhaustive)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: while some tests wait, for another process or for a lease to end, others work."""
    return (os.cpu_count() or 1) + 1


WORDS = re.compile(r"[A-Za-z0-9_~+/=.\-]{9,}")


class Records(logging.Handler):
    """Every record as it would be written, with the traceback of one that carries an exception."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@pytest.fixture(autouse=True)
def msal_remembers_no_other_test() -> Iterator[None]:
    """For the whole process msal keeps which authority once answered 404 to its question for the user's realm."""
    yield
    authority = sys.modules.get("msal.authority")
    if authority is not None:
        authority.Authority._domains_without_user_realm_discovery.clear()


@pytest.fixture(autouse=True)
def no_secret_leaves_the_product() -> Iterator[None]:
    """Promise 7, for the whole suite: log records, reports, events, failures, tags and URLs."""
    records, root = Records(), logging.getLogger()
    for name in ("azure", "msal", "urllib3", "requests"):
        # Their own debug logs are part of what may leak; a test that quietened them must not hide that.
        logging.getLogger(name).setLevel(logging.NOTSET)
    level = root.level
    root.addHandler(records)
    root.setLevel(logging.DEBUG)
    lab.MADE.clear()
    yield
    root.removeHandler(records)
    root.setLevel(level)
    logged = "\n".join(set(records.texts))
    words = words_of(logged)
    for made in lab.MADE:
        secrets = {secret for secret in made.cloud.every_secret() if len(secret) > 8} - {"see the tags"}
        told = "\n".join(told_by(made))
        # In the middle of an address, where no word of its own would be found.
        tokens = [one.token for one in made.cloud.recipients.values()]
        assert not any(token in logged or token in told for token in tokens), "an address of a recipient showed up"
        leaked = secrets & (words | words_of(told))
        assert not leaked, f"{len(leaked)} secrets showed up"
        assert made.watch.broken == []


def words_of(text: str) -> set[str]:
    """Also without the full stop that ends a sentence."""
    found = set(WORDS.findall(text))
    return found | {word.rstrip(".") for word in found}


def told_by(made: lab.Lab) -> set[str]:
    """What left the product on this estate: reports, events, failures, tags, URLs and notices."""
    told = set(made.failures)
    told.update(json.dumps(report.to_json()) for report in made.reports)
    told.update(f"{name} {fields}" for name, fields in made.events)
    told.update(f"{call.path} {call.query}" for call in made.cloud.log)
    told.update(str(version.tags) for secret in made.vault.secrets() for version in secret.versions.values())
    told.update(json.dumps(one.received) for one in made.cloud.recipients.values())
    told.add(getattr(made.told_before, "text", ""))
    return told
