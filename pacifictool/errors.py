"""Every error that pacifictool raises deliberately, and its exit code.

The tree::

    PacificToolError                      exit code 1
    ├── UsageError                        exit code 2: the command line or a file of the user is wrong
    │   ├── SettingsError                 an option, environment variable or pacifictool.toml
    │   ├── ScenarioError                 the scenario file
    │   ├── DescriptorError               a plugin or rule JSON file
    │   └── ForeignFolder                 a folder to write into that pacifictool did not create
    ├── PlatformError                     the Pacificsoft server, over REST
    │   ├── PlatformUnreachable           no connection, timeout, TLS
    │   ├── NotAPlatform                  another program responds at the URL
    │   ├── AuthenticationFailed          401 after a new login
    │   ├── PermissionDenied              403
    │   ├── NotFound                      404
    │   ├── AlreadyExists                 a name or token is in use
    │   ├── InvalidRequest                any other 4xx
    │   │   └── NameChanged               the server stored another name than it was given
    │   ├── RateLimited                   429 after all retries
    │   ├── ServerFault                   5xx after all retries
    │   ├── UnexpectedAnswer              2xx with a body that cannot be understood
    │   ├── ForwardingFailed              a plugin, rule or rule chain does not run
    │   └── OtherTopic                    a plugin, rule or rule chain of ours by name serves another topic
    ├── MqttError                         refused, closed or unacknowledged MQTT sessions
    ├── KafkaError                        the broker as a client sees it
    │   ├── KafkaUnreachable              bootstrap or advertised address
    │   └── TopicMismatch                 partitions or timestamps are not as the scenario wants them
    ├── RuntimeMissing                    what the machine lacks
    │   ├── JavaMissing
    │   ├── JarsMissing
    │   └── BrokerFailed                  the local Kafka broker did not start
    ├── SandboxError                      the local platform
    ├── AggregationError                  the Spark job
    │   ├── CheckpointMismatch            the checkpoint belongs to another job or topic
    │   ├── CheckpointInUse               another job holds it
    │   └── DeliveryAbandoned             the platform was unavailable for longer than --give-up-after
    ├── StorageFull                       no space left for a cache, checkpoint or data folder
    ├── PortInUse
    ├── OutputFailed                      standard output could not be written, for example because of a full disk
    └── ChecksFailed                      a check of the demo or of doctor failed

Third-party exceptions are translated once, in the module that uses the third-party library. `cli.main` turns these
errors into one sentence for a person and an exit code for a script; nothing else prints errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """The exit code of the process."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


class PacificToolError(Exception):
    """An expected failure, written for the person who reads it.

    `message` says what is wrong and where, `hint` what to do next. `details` are further facts for scripts; they go
    into the JSON error document and must never hold a secret.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    @property
    def kind(self) -> str:
        """See `kind_name`."""
        return kind_name(type(self))

    @property
    def entry(self) -> str:
        """The entry in the documentation."""
        return entry_of(self.kind)

    def as_document(self) -> dict[str, Any]:
        """The error as `--output json` prints it."""
        error: dict[str, Any] = {"kind": self.kind, "message": self.message, "hint": self.hint, "help": self.entry}
        if self.details:
            error["details"] = self.details
        return {"ok": False, "error": error}


def kind_name(kind: type[PacificToolError]) -> str:
    """The class name in kebab case, as JSON output and docs/troubleshooting.md name it."""
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in kind.__name__).lstrip("-")


def entry_of(kind: str) -> str:
    """The entry in the documentation for a kind of error; a test checks that each exists."""
    return f"docs/troubleshooting.md#{kind}"


def help_on(kind: str) -> str:
    """The command that prints this entry, for people: a wheel has no folder docs."""
    return f"pacifictool help {kind}"


def error_of_document(
    document: Any, default: type[PacificToolError], *kinds: type[PacificToolError]
) -> PacificToolError:
    """The error that another process printed `as_document`: one of `kinds`, or else of the default kind.

    Raises ValueError, KeyError or TypeError when it is not such a document.
    """
    error = document["error"]
    kind = next((kind for kind in kinds if kind_name(kind) == error["kind"]), default)
    return kind(error["message"], hint=error["hint"], **error.get("details", {}))


class Interrupted(BaseException):
    """The user or the system ends the run. Not a failure, and not caught by `except Exception`."""


class UsageError(PacificToolError):
    """The command line or a file of the user is wrong."""

    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """An option, environment variable or configuration file has an invalid value."""


class ScenarioError(UsageError):
    """The scenario file cannot be read or is inconsistent."""


class DescriptorError(UsageError):
    """A plugin, rule or rule chain JSON file cannot be used."""


class ForeignFolder(UsageError):
    """A folder that a command would write into, or empty, contains something that pacifictool did not create."""


class PlatformError(PacificToolError):
    """The platform's REST API refused, failed or sent a response that cannot be understood.

    `status` is the HTTP status (None without a response), `request` the method and path, for example
    "POST /api/device".
    """

    retriable: bool = False
    """Whether the failure may pass by itself."""
    outcome_unknown: bool = False
    """Whether the platform may or may not have processed the request: it was sent, but the response was lost."""
    during_login: bool = False
    """Whether the login failed that the request was waiting for; the request itself was not sent."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        request: str | None = None,
        **details: Any,
    ) -> None:
        if status is not None:
            details["status"] = status
        if request is not None:
            details["request"] = request
        super().__init__(message, hint=hint, **details)
        self.status = status
        self.request = request

    @property
    def retry_after_seconds(self) -> float:
        """How long the server asks to wait before the next attempt (`Retry-After`); 0 when it does not say."""
        return float(self.details.get("retry_after", 0.0))


class PlatformUnreachable(PlatformError):
    """No connection, a timeout, or a failed TLS handshake.

    `sent` says whether the server may have received the request; `tls` that TLS failed, where a retry
    does not help.
    """

    def __init__(self, message: str, *, sent: bool | None = None, tls: bool = False, **details: Any) -> None:
        if sent is not None:
            details["sent"] = sent
        if tls:
            details["tls"] = tls
        super().__init__(message, **details)
        self.outcome_unknown = sent is True
        self.retriable = sent is not None and not tls


class NotAPlatform(PlatformError):
    """The program at the URL is not a Pacificsoft server."""


class AuthenticationFailed(PlatformError):
    """The credentials, or a new token, were refused."""


class PermissionDenied(PlatformError):
    """The user may not do this."""


class NotFound(PlatformError):
    """The entity or path does not exist on the server."""


class AlreadyExists(PlatformError):
    """A name or token that must be unique is already in use."""


class InvalidRequest(PlatformError):
    """The server refused the content of a request (4xx)."""


class NameChanged(InvalidRequest):
    """The server stored another name than it was given, so that two names could mean the same entity.

    `details["id"]` is the entity that the server stored under the other name.
    """


class RateLimited(PlatformError):
    """The server returned 429, also after all retries."""

    retriable = True


class ServerFault(PlatformError):
    """The server failed (5xx); 502, 503 and 504, and 500 of its database, also after all retries.

    The first three come from a proxy or from an overloaded server.
    """

    def __init__(self, message: str, *, status: int | None = None, may_pass: bool = False, **details: Any) -> None:
        """`may_pass`: the failure may pass by itself, whatever the status."""
        super().__init__(message, status=status, **details)
        self.retriable = self.outcome_unknown = may_pass or status in (502, 503, 504)


class UnexpectedAnswer(PlatformError):
    """The server returned a success status with a body that cannot be understood."""


class ForwardingFailed(PlatformError):
    """A plugin, rule or rule chain exists but does not run; the message has the server's reason."""


class OtherTopic(PlatformError):
    """A plugin, rule or rule chain has the name that ours would have, but serves another topic; it is left alone."""


class MqttError(PacificToolError):
    """An MQTT session was refused, closed or left without an acknowledgement."""


class KafkaError(PacificToolError):
    """Kafka refused or failed."""


class KafkaUnreachable(KafkaError):
    """The bootstrap address or an address that the broker advertises cannot be reached."""


class TopicMismatch(KafkaError):
    """The topic exists, but not as the scenario wants it, and cannot be changed safely."""


class RuntimeMissing(PacificToolError):
    """The machine lacks something a local run needs."""


class JavaMissing(RuntimeMissing):
    """No usable Java runtime was found."""


class JarsMissing(RuntimeMissing):
    """A jar is neither cached nor can be downloaded, or does not match the lock file."""


class BrokerFailed(RuntimeMissing):
    """The local Kafka broker did not start or exited; `details["log"]` is the path of its log."""


class SandboxError(PacificToolError):
    """The local platform did not start, or is not in the state a command needs."""


class AggregationError(PacificToolError):
    """The Spark job cannot start or continue."""


class CheckpointMismatch(AggregationError):
    """The checkpoint belongs to another job, topic or topic incarnation."""


class CheckpointInUse(AggregationError):
    """Another running job has locked the checkpoint."""


class DeliveryAbandoned(AggregationError):
    """Results could not be delivered within --give-up-after; the checkpoint keeps them for the next start."""


class StorageFull(PacificToolError):
    """No space is left in a cache, checkpoint or data folder."""


class PortInUse(PacificToolError):
    """A requested port is in use."""


class OutputFailed(PacificToolError):
    """The result of a command could not be written to standard output."""


class FileNotWritten(PacificToolError):
    """A file that the command makes could not be written: a report, readings, invalid records, a first function."""


class ChecksFailed(PacificToolError):
    """A check of the demo or of doctor failed."""


def file_fault(error: OSError | UnicodeDecodeError) -> str:
    """Why a file could not be read or written, as the end of a sentence; the message adds the path."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (error.strerror or str(error)).lower()


def path_hint(error: OSError | UnicodeDecodeError, given_with: str) -> str:
    """What to do about a file with settings that could not be read; `given_with` are the options that name it."""
    if isinstance(error, PermissionError):
        return "Make it readable for the user that this runs as, and for nobody else."
    return f"Check the path given with {given_with}."


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """The names most like the one that was typed, as a question; "" when none comes close."""
    from difflib import get_close_matches

    by_folded = {name.casefold(): name for name in known}
    close = get_close_matches(typed.casefold(), by_folded, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(repr(by_folded[match]) for match in close)}?" if close else ""


def unknown_choice(
    option: str, value: str, choices: Iterable[str], *, kind: type[UsageError] = UsageError
) -> UsageError:
    """The error for an option with a value that is not one of its choices."""
    listed = list(choices)
    use = f"Use {' or '.join(listed)}." if len(listed) == 2 else f"Use one of {', '.join(listed)}."
    return kind(f"{option}: {value!r} is not known.", hint=f"{did_you_mean(value, listed)} {use}".lstrip())
