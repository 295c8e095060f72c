from __future__ import annotations

import math
from pathlib import Path

import pytest

from pacifictool.models.csv_file import CsvFormat, CsvTable


def table(folder: Path, content: str | bytes, **form: object) -> CsvTable:
    file = folder / "log.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvTable(file, CsvFormat(**form))  # type: ignore[arg-type]


def column(folder: Path, content: str | bytes, name: str = "v", **form: object) -> list[float | None]:
    return [None if math.isnan(value) else value for value in table(folder, content, **form).column(name)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_are_recognised(separator: str, end: str, tmp_path: Path) -> None:
    lines = ["time,v,w", "2026-01-01,5,6", "2026-01-02,7.5,8"]
    assert column(tmp_path, end.join(lines).replace(",", separator)) == [5, 7.5]


def test_decimal_commas_between_semicolons(tmp_path: Path) -> None:
    content = "Zeit;v (m/s, Mittel)\r\n01.03.2021 00:00;4,7\r\n01.03.2021 00:10;-5\r\n"
    assert column(tmp_path, content, "v (m/s, Mittel)", decimal=",") == [4.7, -5]
    with pytest.raises(
        ValueError, match=r"'4,7' in line 2 of .*log\.csv is not .*; decimal = \",\" reads decimal commas"
    ):
        column(tmp_path, content, "v (m/s, Mittel)")


def test_decimal_commas_in_quotes_and_a_given_separator(tmp_path: Path) -> None:
    assert column(tmp_path, 'a,v\nx,"4,7"\n', decimal=",") == [4.7]
    assert column(tmp_path, "a:v\nx:4\n", separator=":") == [4]


def test_comments_and_lines_before_the_header(tmp_path: Path) -> None:
    assert column(tmp_path, "# made by a logger\n#\n\na,v\n# a pause\n1,2\n\n3,4\n#end\n") == [2, 4]
    assert column(tmp_path, "Site: North, Mast 1\nFirmware 2.1\na,v\n1,2\n", skip=2) == [2]
    assert column(tmp_path, "% made\na,v\n1,2\n% end\n", comment="%") == [2]
    assert column(tmp_path, "a,#v\n#1,2\n", "#v", comment="") == [2]


def test_a_header_in_the_last_comment_line(tmp_path: Path) -> None:
    content = "# Exported by Farm Logger\n# Turbine: K1\n# Date and time,v\n2021-03-01 00:00:00,5.5\n"
    assert column(tmp_path, content, time_column="Date and time") == [5.5]
    assert column(tmp_path, content, skip=2) == [5.5]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(encoding: str, tmp_path: Path) -> None:
    assert column(tmp_path, "Böe,v\r\n1,5\r\n".encode(encoding), "Böe") == [1]


def test_an_encoding_is_given_or_the_error_says_so(tmp_path: Path) -> None:
    content = "Zeit;Böe\n1;2\n".encode("latin-1")
    assert column(tmp_path, content, "Böe", encoding="latin-1") == [2]
    with pytest.raises(ValueError, match=r"line 1 of .*log\.csv is not text in UTF-8: name its encoding, such as"):
        column(tmp_path, content, "Böe")
    with pytest.raises(ValueError, match=r"line 4002 of .*log\.csv is not text in UTF-8"):
        column(tmp_path, b"v\n" + b"1\n" * 4000 + b"\xff\n")
    with pytest.raises(ValueError, match="there is no encoding 'klingon'"):
        column(tmp_path, content, "Böe", encoding="klingon")
    with pytest.raises(ValueError, match=r'line 1 of .* holds NUL characters; .* encoding = "utf-16-le"'):
        column(tmp_path, "a,v\n1,2\n".encode("utf-16-le"))
    assert column(tmp_path, "a,v\n1,2\n".encode("utf-16-le"), encoding="utf-16-le") == [2]


def test_missing_values(tmp_path: Path) -> None:
    content = "t,v\n1,5\n2,-999\n3,-999.0\n4,NaN\n5,\n6, \n7\n8,n/a\n9,6\n"
    missing = (-999, "nan", "N/A")
    assert column(tmp_path, content, missing=missing) == [5, None, None, None, None, None, None, None, 6]
    assert column(tmp_path, "t;v\n1;-99,9\n2;3\n", missing=("-99,9",), decimal=",") == [None, 3]
    with pytest.raises(ValueError, match=r"'NaN' in line 2 of .*; missing = \[\"NaN\"\] makes it a missing value"):
        column(tmp_path, "v\nNaN\n1\n")
    with pytest.raises(ValueError, match=r"the column 'v' of .* holds no numbers"):
        column(tmp_path, "v,w\n,1\n,2\n")


@pytest.mark.parametrize("text", ["1_2", "٣٤", "１２", "6\0", '"1,234.5"', "0x10", "1e10", "-inf", "Infinity", "5 m/s"])
def test_what_is_no_number(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"in line 3 of .*log\.csv is not a number within -1e9 and 1e9"):
        column(tmp_path, f"t,v\n1,2\n2,{text}\n")


def test_names_of_columns(tmp_path: Path) -> None:
    assert column(tmp_path, "time, v \n2021-03-01T00:00Z, 5.5\n") == [5.5]
    with pytest.raises(ValueError, match=r"line 2 of .*log\.csv names two columns 'v'; rename one"):
        table(tmp_path, "# log\nv,w, v\n1,2,3\n")
    assert column(tmp_path, "v,w,,\n1,2,,\n") == [1]
    with pytest.raises(ValueError, match="has no column 'v'; it has 'a', 'b'"):
        column(tmp_path, "a,b\n1,2\n")
    with pytest.raises(ValueError, match="has no column 'v'; it has no columns"):
        column(tmp_path, "")


def test_rows_longer_than_the_header(tmp_path: Path) -> None:
    assert column(tmp_path, "t,v\n1,2,\n") == [2]
    with pytest.raises(ValueError, match=r"line 3 of .* has 3 cells and the header 2; separator says"):
        column(tmp_path, "t,v\n1,2\n2,3,4\n")


@pytest.mark.parametrize(
    ("first", "second", "form"),
    [
        ("2021-03-01T00:00Z", "2021-03-01T01:10+01:00", None),
        ("2021-03-01 00:00", "2021-03-01 00:10:00.000", None),
        ("1614556800", "1614557400.0", None),
        ("1614556800000", "1614557400000", None),
        ("01.03.2021 00:00", "01.03.2021 00:10", "%d.%m.%Y %H:%M"),
        ("1614556800", "1614557400", "s"),
        ("1614556800000", "1614557400000", "ms"),
        ("2021-03-01", "2021-03-01T00:10", "iso"),
    ],
)
def test_times(first: str, second: str, form: str | None, tmp_path: Path) -> None:
    found = table(tmp_path, f"t,v\n{first},1\n{second},2\n", time_column="t", time_format=form)
    assert list(found.times_ms) == [1_614_556_800_000, 1_614_557_400_000]


@pytest.mark.parametrize(
    ("rows", "form", "said"),
    [
        ("2021-03-01,1\nsoon,2\n", None, r"'soon' in line 3 of .* is not a time in ISO 8601 or in seconds"),
        ("01.03.2021 00:00,1\n", None, r'such as time_format = "%d.%m.%Y %H:%M"'),
        ("20210301,1\n", None, "'20210301' in line 2 of .* is not a time"),
        ("1_6,1\n", "s", "'1_6' in line 2 of .* is not a time of the form 's'"),
        ("2021-03-01,1\n,2\n", None, "line 3 of .* has no time in the column 't'"),
        (
            "2021-03-02,1\n2021-03-01,2\n",
            None,
            "'2021-03-01' in line 3 of .* is not later than the time in the row before",
        ),
        ("2021-03-01,1\n2021-03-01,2\n", None, "is not later than"),
    ],
)
def test_times_that_are_refused(rows: str, form: str | None, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        table(tmp_path, f"t,v\n{rows}", time_column="t", time_format=form).load(["v"])


def test_a_file_is_read_once_for_all_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = table(tmp_path, "t,v,w\n2021-03-01,1,2\n2021-03-02,3,4\n", time_column="t")
    passes = 0
    rows = CsvTable._rows

    def counted(self: CsvTable) -> object:
        nonlocal passes
        passes += 1
        return rows(self)

    monkeypatch.setattr(CsvTable, "_rows", counted)
    found.load(["v", "w"])
    assert (list(found.column("v")), list(found.column("w")), len(found.times_ms)) == ([1, 3], [2, 4], 2)
    assert passes == 1


def test_texts_and_numbers_in_one_pass(tmp_path: Path) -> None:
    found = table(tmp_path, "site, v,w\nNorth ,1,\n,2,x\nSouth,3,4\n", missing=("x",))
    found.load(["v"], ["site"])
    assert list(found.texts("site")) == ["North", "", "South"]
    assert list(found.column("v")) == [1, 2, 3]
    with pytest.raises(ValueError, match=r"has no column 'room'"):
        found.texts("room")


def test_columns_whose_first_value_is_a_number(tmp_path: Path) -> None:
    content = "a,b,c,d,e\n,x,-,,2026\n1,2,3,,y\n"
    assert table(tmp_path, content, missing=("-",)).numeric_columns() == ("a", "c", "e")
    assert table(tmp_path, "a;b\n1,5;1.5\n", decimal=",").numeric_columns() == ("a",)


def test_rows_of_several_devices_need_not_be_in_order(tmp_path: Path) -> None:
    content = "t,v\n2026-01-01T00:00:02Z,1\n2026-01-01T00:00:02Z,2\n2026-01-01T00:00:01Z,3\n"
    times = table(tmp_path, content, time_column="t", ordered=False).times_ms
    assert [ms - times[0] for ms in times] == [0, 0, -1000]
    with pytest.raises(ValueError, match="is not later than"):
        table(tmp_path, content, time_column="t").load([])
