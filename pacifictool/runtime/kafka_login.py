"""Who may use a broker of ours: one user with a random password, kept next to the broker's data.

Clients log in by SCRAM: the password does not travel, and a client notices a program that listens in the broker's place
while that is stopped. The broker itself, which talks to its controller before any SCRAM user is known, has a PLAIN
login of its own with a password that is made at each start.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pacifictool.private_files import write_private

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

PASSWORD_FILE = "client-password"  # noqa: S105 - the name of a file
USER = "pacifictool"
LISTENER, CONTROLLER_LISTENER = "SASL_PLAINTEXT", "CONTROLLER"
_BROKER_USER = "broker"
_SCRAM_ITERATIONS = 4096
"""The fewest that Kafka takes: a random password of 256 bits cannot be guessed, however quick a guess is."""
_MODULES = "org.apache.kafka.common.security"
_RESPONSE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class KafkaLogin:
    """The passwords of one run of a broker."""

    password: str = field(repr=False)
    broker_password: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(32))

    @classmethod
    def kept_in(cls, folder: Path) -> KafkaLogin:
        """The login of the broker whose data is in `folder`; a password is made when there is none. Raises OSError."""
        path = folder / PASSWORD_FILE
        try:
            # Clients that wait for the broker must get in again after a restart.
            password = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            password = ""
        if not password:
            password = secrets.token_urlsafe(32)
            write_private(path, password + "\n")
        path.chmod(0o600)
        return cls(password)

    def client_properties(self) -> dict[str, str]:
        """What clients need, by librdkafka's names."""
        return _properties("SCRAM-SHA-256", USER, self.password)

    def java_properties(self) -> dict[str, str]:
        """The same for Kafka's own tools and other Java clients."""
        return {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required "
            f'username="{USER}" password="{self.password}";',
        }

    def broker_client_properties(self) -> dict[str, str]:
        """The broker's own login, which works before the user for clients exists."""
        return _properties("PLAIN", _BROKER_USER, self.broker_password)

    def broker_settings(self) -> Mapping[str, str]:
        """What makes broker and controller ask for a login."""
        plain = (
            f'{_MODULES}.plain.PlainLoginModule required username="{_BROKER_USER}" '
            f'password="{self.broker_password}" user_{_BROKER_USER}="{self.broker_password}";'
        )
        client, controller = (f"listener.name.{name.lower()}" for name in (LISTENER, CONTROLLER_LISTENER))
        return {
            "listener.security.protocol.map": f"{LISTENER}:SASL_PLAINTEXT,{CONTROLLER_LISTENER}:SASL_PLAINTEXT",
            "inter.broker.listener.name": LISTENER,
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            f"{client}.sasl.enabled.mechanisms": "SCRAM-SHA-256,PLAIN",
            f"{client}.scram-sha-256.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
            f"{client}.plain.sasl.jaas.config": plain,
            f"{controller}.sasl.enabled.mechanisms": "PLAIN",
            f"{controller}.plain.sasl.jaas.config": plain,
        }

    def register(self, admin: AdminClient) -> None:
        """Makes the clients' user known to the broker. Raises KafkaException."""
        from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, _SCRAM_ITERATIONS)
        user = UserScramCredentialUpsertion(USER, credential, self.password.encode("ascii"))
        admin.alter_user_scram_credentials([user])[USER].result(_RESPONSE_SECONDS)


def _properties(mechanism: str, username: str, password: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": mechanism,
        "sasl.username": username,
        "sasl.password": password,
    }
