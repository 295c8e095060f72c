"""Records of all kinds with their expected classification, by an independent version of the rules in Python."""

from __future__ import annotations

import json
import random
import re
from typing import Any

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
"""What a text holds that counts as a number: exactly what JSON calls one."""

GOOD = b'{"geoZone":"Zone A", "windSpeed":31}'


class _NotStrictError(Exception):
    pass


def _strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _NotStrictError
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise _NotStrictError


def expected_reading(value: bytes | None) -> tuple[str, float] | None:
    """An independent version of the rules; None for an invalid record."""
    try:
        document = json.loads(
            (value or b"").decode("utf-8"), object_pairs_hook=_strict_object, parse_constant=_no_constant
        )
        json.dumps(document, ensure_ascii=False).encode("utf-8")
        if not isinstance(document, dict):
            return None
        zone, number = document.get("geoZone"), document.get("windSpeed")
        if isinstance(number, str) and _NUMBER.fullmatch(number):
            number = float(number)
        if not isinstance(zone, str) or isinstance(number, bool) or not isinstance(number, int | float):
            return None
        if not zone.strip() or len(zone) > 255 or any(ord(char) < 0x20 or ord(char) == 0x7F for char in zone):
            return None
        return (zone, float(number)) if 0 <= float(number) <= 1e9 else None
    except (ValueError, OverflowError, _NotStrictError, RecursionError):
        return None


def record(zone: str = '"Zone A"', number: str = "31", more: str = "") -> bytes:
    return f'{{"geoZone":{zone}, "windSpeed":{number}{more}}}'.encode("utf-8", "surrogatepass")


VALID: list[bytes] = [
    GOOD,
    record(number='"31"'), record(number='"3.1e1"'), record(number='"-0"'),
    record(number="0"), record(number="-0"), record(number="-0.0"), record(number="1E5"), record(number="1.0E-7"),
    record(number="1.23456789E7"), record(number="1000000000"), record(number="1e9"), record(number="1e-400"),
    record(number="0.1"), record(number="3." + "1" * 200), record(number="1" + "0" * 8 + ".0000000000000000000001"),
    record(more=', "extra": {"a": [1, null, true, "x"]}'), record(more=', "big": ' + "9" * 900),
    record(more=', "text": "' + "y" * 1_000_000 + '"'), record(more=', "deep": ' + "[" * 900 + "]" * 900),
    record('"Österreich"'), record('"日本 🌀"'), record('"\\ud83c\\udf00"'), record('" Zone A"'), record('"Zone A "'),
    record('"Zone \\"A\\""'), record('"a/b\\\\c"'), record('"' + "z" * 255 + '"'), record('"' + "🌀" * 255 + '"'),
    record('"NaN"'), record('"\\u0041"'), record('"\u200b"'), record('"\ufffd"'),
    b' \t\r\n{"windSpeed" : 5 ,\n"geoZone" : "B"}\n ',
]  # fmt: skip

REJECTED: list[tuple[bytes | None, str]] = [
    (None, "no value (a tombstone)"),
    (b"", "empty"),
    *[
        (value, "not one valid JSON value")
        for value in (
            b" ", b"hello", b"{", b"}", b"\x00", GOOD + b"x", GOOD + GOOD, GOOD + b"\x00", GOOD + b",", GOOD + b"]",
            GOOD + b"//", b"/**/" + GOOD, b"\xef\xbb\xbf" + GOOD, b"\x0c" + GOOD, b"\xc2\xa0" + GOOD,
            GOOD + b',"5e0bb5d1c4a84c2"', GOOD + b"],[1", GOOD + b',null],"x"', GOOD + b',true],["a"',
            b'{"geoZone":"Zone A", "windSpeed":}', b'{"geoZone":"Zo"ne", "windSpeed":1}',
            b"{'geoZone':'A','windSpeed':1}", b'{geoZone:"A",windSpeed:1}', b'{"geoZone":"A","windSpeed":1,}',
            record(number="gale"), record(number="NaN"), record(number="Infinity"), record(number="-Infinity"),
            record(number="01"), record(number="+1"), record(number="1."), record(number=".5"), record(number="0x1F"),
            record(number="1_000"), record(number="True"), record(number="1d"),
            record('"a\nb"'), record('"a\tb"'), record('"a\x00b"'), record('"\\x41"'), record('"\\ud800"'),
            record(more=', "x": "\\udc00"'), record(more=', "windSpeed": 2'), record(more=', "geo\\u005aone": "B"'),
            record(more=', "x": {"a": 1, "a": 2}'), b"[" * 100_000, b'{"a":' * 100_000,
            record(more=', "deep": ' + "[" * 100_000 + "]" * 100_000), b"y" * 1_000_000,
        )
    ],
    *[(value, "not UTF-8") for value in (b"\xff", record('"\ud800"'), GOOD[:14] + b"\xe9" + GOOD[14:], b"\xc0\xaf", GOOD + b"\x80")],
    *[(value, "not a JSON object") for value in (b"null", b"true", b"5", b'"text"', b"[]", b"[" + GOOD + b"]")],
    (b"{}", "no geoZone"),
    (b'{"windSpeed":1}', "no geoZone"),
    (b'{"GeoZone":"A","windSpeed":1}', "no geoZone"),
    *[(record(zone), "geoZone is not a text") for zone in ("7", "null", "true", '["A"]', '{"a":1}', "1.5")],
    *[(record(zone), "geoZone is blank") for zone in ('""', '"   "', '"\u2003"', '"\xa0\u3000"', '"\\u0085"')],
    (record('"' + "z" * 256 + '"'), "geoZone is longer than 255 characters"),
    *[(record(zone), "geoZone holds control characters") for zone in ('"\\u0000"', '"a\\nb"', '"\\u001f"', '"\x7f"')],
    (b'{"geoZone":"A"}', "no windSpeed"),
    *[(record(number=text), "windSpeed is not a number") for text in ('"31 "', '"+1"', '"01"', '"NaN"', '"0x1F"', '"1_000"', '"1,5"', '"gale"', "null", "true", "[31]", "{}", '""')],
    *[
        (record(number=text), "windSpeed is not within 0 and 1000000000")
        for text in ("-1", "-1e-9", "1000000001", "1e10", "1e400", "-1e400", "1" * 400, "12345678901234567890123", "1e309")
    ],
]  # fmt: skip


def mutated(count: int) -> list[bytes]:
    """Valid records and others with a byte or two changed."""
    random_ = random.Random(20)
    valid = [value for value in VALID if len(value) < 300]
    others = [value for value, _ in REJECTED if value is not None and len(value) < 300]
    pieces = [bytes([byte]) for byte in b'"\\{},:09-.e\x00\xff u[]'] + [b""]
    values = []
    for _ in range(count):
        value = random_.choice(valid if random_.random() < 0.8 else others)
        for _ in range(random_.randint(1, 2)):
            place = random_.randrange(len(value) + 1)
            value = value[:place] + random_.choice(pieces) + value[place + random_.randint(0, 1) :]
        values.append(value)
    return values
