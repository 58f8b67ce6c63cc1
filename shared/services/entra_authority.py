"""Entra ID as one world reaches it: its host, the way there, and the app objects that msal makes of the app's proof."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import msal
import requests

from shared.model.clock import Clock, Deadline
from shared.model.credentials import ClientProof
from shared.services.client_credentials import for_msal
from shared.services.entra_wire import Wire
from shared.services.rate_limits import Pace
from shared.services.transport import retry_after


class Authority:
    """What everybody who asks Entra ID shares: `host`, one discovery document, the pace of sign-ins."""

    def __init__(
        self, session: requests.Session, host: str, clock: Clock, deadline: Deadline, pace: Pace | None = None
    ) -> None:
        self.host = host
        self.clock = clock
        self.deadline = deadline
        self._session = session
        self._pace = pace
        self._discovered: dict[str, requests.Response] = {}
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Wait for this user's turn to sign in. Raises as `Pace.turn`."""
        if self._pace is not None:
            self._pace.turn(self.clock, self.deadline)

    def wire(self) -> Wire:
        """A way for one attempt."""
        return Wire(self._session, self.host, self.deadline, self._discovered, self._lock)

    def app(
        self, tenant: str, client_id: str, proof: ClientProof, wire: Wire, **options: Any
    ) -> msal.ConfidentialClientApplication:
        """An app object for one attempt; `options` are msal's. Raises what msal meets at discovery.

        msal replays a 429, a 5xx or any answer with Retry-After to every user of an app object, a 400 to the same user
        for 60 s, and gives the token in its cache for as long as it lives (measured with msal 1.39).
        """
        return msal.ConfidentialClientApplication(
            client_id,
            client_credential=for_msal(proof),
            authority=f"https://{self.host}/{tenant}",
            http_client=wire,
            **options,
        )

    def wait(self, wire: Wire) -> timedelta | None:
        """How long the last answer asked to be left alone."""
        asked = None if wire.answer is None else wire.answer.headers.get("Retry-After")
        return retry_after(asked, self.clock.now())
