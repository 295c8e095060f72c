"""Properties files as Java's documentation shows them, as librdkafka's tools write them, and as editors save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.errors import SettingsError
from pacifictool.scenario import load_scenario
from pacifictool.settings import Secret, Settings, Sources, read_properties, resolve
from pacifictool.settings.properties import jaas_login

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def settings(tmp_path: Path, **flags: object) -> Settings:
    return resolve(Sources(flags, {}, tmp_path, tmp_path / "user" / "config.toml", lambda: "\ufefffrom stdin\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client.id: probe\nsecurity.protocol: PLAINTEXT\n", {"client.id": "probe", "security.protocol": "PLAINTEXT"}),
        ("  client.id =  a b  \n", {"client.id": "a b"}),
        ("# a comment \\\n! another\n\nclient.id=x", {"client.id": "x"}),
        ("client.id=one \\\n   two \\\n\tthree\n", {"client.id": "one two three"}),
        ("client.id=ends with two \\\\\nclient.rack=r\n", {"client.id": "ends with two \\", "client.rack": "r"}),
        ("client.id=x\\", {"client.id": "x"}),
        ("ssl.ca.location=C\\:\\\\kafka\\\\ca.pem\n", {"ssl.ca.location": "C:\\kafka\\ca.pem"}),
        ("ssl.ca.location=C:\\kafka\\ca.pem\n", {"ssl.ca.location": "C:\\kafka\\ca.pem"}),
        ("client.id=caf\\u00e9\n", {"client.id": "café"}),
        ("client\\:id=x\n", {"client:id": "x"}),
        ("client.id=\n", {"client.id": ""}),
        ("\ufeffclient.id=probe\r\nclient.rack=r\r\n", {"client.id": "probe", "client.rack": "r"}),
        # What librdkafka's tools accept as written, and what no property can mean as an escape.
        ('sasl.password=pass;w"o\\rd=# plain\n', {"sasl.password": 'pass;w"o\\rd=# plain'}),
        ("ssl.key.pem=-----BEGIN KEY-----\\nx\\n", {"ssl.key.pem": "-----BEGIN KEY-----\nx\n"}),
        ("client.id=a\u2028b\n", {"client.id": "a\u2028b"}),
    ],
)
def test_lines(text: str, expected: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text, encoding="utf-8", newline="")
    assert read_properties(tmp_path / "file") == expected


@pytest.mark.parametrize("text", ["client.id=x\n\nno pair\n", "client.id=x\n\n=value\n", "client.id=x\n\nsecret\\\n\n"])
def test_a_line_without_a_pair_is_named_and_not_quoted(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(SettingsError, match="line 3: expected key=value") as caught:
        read_properties(tmp_path / "file")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'{SCRAM} required username="job" password="not-a-secret";', ("job", "not-a-secret")),
        (f"{PLAIN} required username='job' password='p;w';", ("job", "p;w")),
        (f'  {PLAIN}   required   password="p\\"w\\\\" username=job ;', ("job", 'p"w\\')),
        (f'{SCRAM} required username="job" password="x" tokenauth="true";', None),
        (f"{SCRAM} required;", None),
        (f'{SCRAM} required username="job" password="x"; {PLAIN} required;', None),
        ("com.sun.security.auth.module.JndiLoginModule required username=job password=x;", None),
        ("com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true;", None),
    ],
)
def test_a_login_of_java(text: str, expected: tuple[str, str] | None) -> None:
    assert jaas_login(text) == expected


def test_a_login_of_java_in_a_properties_file_becomes_ours(tmp_path: Path) -> None:
    (tmp_path / "kafka.properties").write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\n"
        f'sasl.jaas.config={SCRAM} required \\\n  username="job" \\\n  password="not-a-secret";\n'
    )
    config = settings(tmp_path, kafka_config=str(tmp_path / "kafka.properties")).kafka.config
    assert dict(config) == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "job",
        "sasl.password": "not-a-secret",
    }


def test_a_login_of_java_in_the_users_file_becomes_ours(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "config.toml").write_text(
        f'[kafka_properties]\n"sasl.jaas.config" = \'{PLAIN} required username="job" password="x";\'\n'
    )
    assert dict(settings(tmp_path).kafka.config) == {"sasl.username": "job", "sasl.password": "x"}


def test_two_logins_are_refused(tmp_path: Path) -> None:
    (tmp_path / "kafka.properties").write_text(
        f'sasl.username=a\nsasl.jaas.config={PLAIN} required username="job" password="hidden";\n'
    )
    with pytest.raises(SettingsError, match="another one") as caught:
        settings(tmp_path, kafka_config=str(tmp_path / "kafka.properties"))
    assert "hidden" not in caught.value.message


def test_a_scram_login_does_not_become_a_plain_one(tmp_path: Path) -> None:
    login = f'sasl.jaas.config={SCRAM} required username="job" password="hidden";\n'
    (tmp_path / "kafka.properties").write_text(f"security.protocol=SASL_PLAINTEXT\n{login}")
    with pytest.raises(SettingsError, match=r"sasl\.mechanism is missing"):
        settings(tmp_path, kafka_config=str(tmp_path / "kafka.properties"))


def test_a_byte_order_mark_is_no_fault_of_any_file(tmp_path: Path) -> None:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        return path

    write("pacifictool.toml", 'kafka = "127.0.0.1:18192"\r\n')
    write("user/config.toml", 'mqtt = "127.0.0.1:1884"\r\n')
    password = write("pw.txt", "tenant\r\n")
    properties = write("client.properties", "client.id=probe\r\nsecurity.protocol=PLAINTEXT\r\n")
    found = settings(tmp_path, password_file=str(password), kafka_config=str(properties))
    assert found.kafka.bootstrap == "127.0.0.1:18192"
    assert found.mqtt.port == 1884
    assert found.password == Secret("tenant")
    assert dict(found.kafka.config) == {"client.id": "probe", "security.protocol": "PLAINTEXT"}
    assert settings(tmp_path, password_file="-").password == Secret("from stdin")
    assert settings(tmp_path, api_key_file=str(write("key", "tb_x\n"))).api_key == Secret("tb_x")
    scenario = load_scenario(
        write("scenario.toml", '[forwarding]\ntopic = "masts"\ntelemetry = ["gust"]\n[labels]\ndevice = "mast"\n')
    )
    assert scenario.forwarding.topic == "masts"


def test_paths_in_a_file_are_meant_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "config.toml").write_text('[kafka_properties]\n"ssl.ca.location" = "ca.pem"\n')
    (tmp_path / "user" / "kafka.properties").write_text("ssl.key.location=key.pem\nssl.ca.location=probe\n")
    assert settings(tmp_path).kafka.config["ssl.ca.location"] == str(tmp_path / "user" / "ca.pem")
    config = settings(tmp_path, kafka_config=str(tmp_path / "user" / "kafka.properties")).kafka.config
    (tmp_path / "user" / "windows.properties").write_text("ssl.ca.location=C\\:\\\\kafka\\\\ca.pem\n")
    windows = settings(tmp_path, kafka_config=str(tmp_path / "user" / "windows.properties")).kafka.config
    assert windows["ssl.ca.location"] == "C:\\kafka\\ca.pem"
    assert (config["ssl.key.location"], config["ssl.ca.location"]) == (str(tmp_path / "user" / "key.pem"), "probe")
