"""An API key in the place of user and password: `X-Authorization: ApiKey tb_…` (platform 4.3 and later).

Nothing is logged in or refreshed; an unknown, disabled or deleted key is a 401; a server that does not know the word
ApiKey is expected to redirect to its login page (docs/servers/4.x.md#api-keys, rows 3 and 5).
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from pacifictool.errors import AuthenticationFailed
from pacifictool.rest import answers
from pacifictool.rest.transport import Answer
from pacifictool.settings import Secret

SCHEME = "ApiKey"


class ApiKey:
    """Sends the key along, says what is wrong with it, and keeps the server's clock. Usable from many threads."""

    scheme = SCHEME

    def __init__(self, url: str, key: Secret) -> None:
        self._url = url
        self._key = key
        self._skew_seconds: float | None = None

    @property
    def was_used(self) -> bool:
        """Whether the server has answered with its time yet."""
        return self._skew_seconds is not None

    def current(self) -> str:
        return self._key.reveal()

    def server_time_ms(self) -> int:
        """The server's clock by its last answer; our own before the first."""
        return round((time.time() + (self._skew_seconds or 0.0)) * 1000)

    def notice(self, answer: Answer) -> None:
        """Takes the time from the `Date` of an answer. It is cut to seconds, so that this clock is never ahead."""
        try:
            moment = parsedate_to_datetime(answer.date or "")
        except ValueError:
            self._skew_seconds = self._skew_seconds or 0.0
        else:
            self._skew_seconds = moment.timestamp() - time.time()

    def refused(self, answer: Answer, what: str) -> AuthenticationFailed:
        """The exception for a 401, or for the redirect of a server that knows no API keys."""
        if answer.status == 401:
            said = answers.words(answer) or "401"
            hint = "Check that the key is complete, enabled, and has not expired or been deleted."
        else:
            said = f"it points to {answers.words_of_location(answer)}"
            hint = "API keys exist since platform 4.3; use --username and a password with an older server."
        return AuthenticationFailed(
            f"The platform at {self._url} refused {what} with the API key: {said}.",
            hint=hint,
            status=answer.status,
            request=what,
        )
