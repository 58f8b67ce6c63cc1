"""Which account of Azure DevOps a signed-in user is: by the id that it gives the user's own bearer.

A user who was renamed in Entra ID keeps the old name in Azure DevOps for days, and the same id.
"""

from __future__ import annotations

from urllib.parse import quote

import requests

from shared.model.clock import Deadline
from shared.model.errors import PatrolError
from shared.model.items import User
from shared.model.secret_text import SecretText
from shared.services.devops_answers import HEADERS, Bearer, judge
from shared.services.transport import timeouts

DEVOPS = "https://dev.azure.com/{organization}/"
CONNECTION_DATA_PATH = "_apis/connectionData?connectOptions=none&api-version=7.1-preview.1"
ANONYMOUS = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


class Accounts:
    """The access tokens of the users that signed in, in memory alone, to ask who they are."""

    def __init__(self, session: requests.Session, deadline: Deadline) -> None:
        self._session = session
        self._deadline = deadline
        self._tokens: dict[str, SecretText] = {}

    def keep(self, user: User, token: SecretText) -> None:
        """Remember how a user can be asked for its id."""
        self._tokens[user.key] = token

    def id_of(self, organization: str, username: str) -> str | None:
        """In lower case; None where nobody could say."""
        token = self._tokens.get(username.casefold())
        if token is None:
            return None
        try:
            response = self._session.get(
                DEVOPS.format(organization=quote(organization, safe="")) + CONNECTION_DATA_PATH,
                headers=HEADERS,
                auth=Bearer(token),
                timeout=timeouts(self._deadline),
                allow_redirects=False,
            )
            user = judge("GET", organization, response).get("authenticatedUser")
        except (requests.RequestException, PatrolError):
            return None
        identity = user.get("id") if isinstance(user, dict) else None
        return identity.lower() if isinstance(identity, str) and identity.lower() != ANONYMOUS else None
