"""Columns of CSV files as data loggers write them.

Encodings, separators, decimal commas, lines before the header, comment lines, missing values and times. A file is read
once for all the columns that a device takes from it.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final

MAX_VALUE: Final = 1e9
"""Greatest number that a cell may hold; see `config.MAX_VALUE`."""

SEPARATORS: Final = ("\t", ";", "|", ",")
"""Those that are recognised; of two that fit equally, the first one."""

_SAMPLE_LINES: Final = 10
_MARKS: Final = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_FIRST_SECONDS: Final = 10**8
"""1973. Smaller numbers are not taken for seconds since 1970, unless the scenario says so: 20260131 is a date."""
_FIRST_MILLISECONDS: Final = 10**11


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """How a file is written."""

    separator: str | None = None
    """None: recognised from the first lines."""
    decimal: str = "."
    comment: str = "#"
    """Lines that begin with it are skipped; empty: none."""
    skip: int = 0
    """Lines before the header that are skipped whatever they hold."""
    encoding: str | None = None
    """None: by the byte order mark, otherwise UTF-8."""
    missing: tuple[float | str, ...] = ()
    """Cells that stand for no value. An empty cell always does."""
    time_column: str | None = None
    time_format: str | None = None
    """`"iso"`, `"s"`, `"ms"` or a pattern of `datetime.strptime`; None: recognised, one of the first three."""
    ordered: bool = True
    """Whether each row is later than the one before, as those of one device are."""


@lru_cache(maxsize=256)
def open_table(file: Path, form: CsvFormat) -> CsvTable:
    """The table in this file, one object per file and format. Raises ValueError with a sentence for the user."""
    return CsvTable(file, form)


class CsvTable:
    """A CSV file with a header row. All methods raise ValueError with a sentence that names the file and the line."""

    def __init__(self, file: Path, form: CsvFormat) -> None:
        """Reads the header only."""
        self.file = file
        self._form = form
        self._missing = _MissingValues(form)
        self._columns: dict[str, Sequence[float]] = {}
        self._texts: dict[str, Sequence[str]] = {}
        self._times: array[int] | None = None
        self.names: tuple[str, ...] = ()
        """Names of the columns, without spaces around them."""
        self._separator = ""
        self._header_line = 0
        self._read_header()

    def load(self, names: Iterable[str], texts: Iterable[str] = ()) -> None:
        """Reads these columns, and the times if the format has them, in one pass; what was read before is kept."""
        wanted = {name: array("d") for name in names if name not in self._columns}
        wanted_texts: dict[str, list[str]] = {name: [] for name in texts if name not in self._texts}
        for name in (*wanted, *wanted_texts):
            self._require(name)
        needs_times = self._form.time_column is not None and self._times is None
        if not wanted and not wanted_texts and not needs_times:
            return
        times: array[int] = array("q")
        clock = _Clock(self._form.time_format)
        places = [(self.names.index(name), values.append) for name, values in wanted.items()]
        text_places = [(self.names.index(name), values.append) for name, values in wanted_texts.items()]
        time_place = None
        if needs_times:
            time_place = self.names.index(self._require(self._form.time_column or ""))
        for line, row in self._rows():
            for place, append in places:
                append(self._number(row[place].strip() if place < len(row) else "", line))
            for place, append_text in text_places:
                append_text(row[place].strip() if place < len(row) else "")
            if time_place is not None:
                text = row[time_place].strip() if time_place < len(row) else ""
                times.append(self._time(clock, text, line, times[-1] if times else -1))
        for name, values in wanted.items():
            if all(map(math.isnan, values)):
                raise ValueError(f"the column {name!r} of {self.file} holds no numbers")
            self._columns[name] = values
        self._texts |= wanted_texts
        if needs_times:
            self._times = times

    def column(self, name: str) -> Sequence[float]:
        """The numbers of a column, one for each row; not a number where the value is missing."""
        self.load([name])
        return self._columns[name]

    def texts(self, name: str) -> Sequence[str]:
        """The cells of a column as they are, one for each row, without spaces around them; empty where one is."""
        self.load([], [name])
        return self._texts[name]

    def numeric_columns(self) -> tuple[str, ...]:
        """The columns whose first value is a number."""
        open_places = {place: name for place, name in enumerate(self.names) if name}
        numeric = set()
        for _line, row in self._rows():
            for place, name in tuple(open_places.items()):
                cell = row[place].strip() if place < len(row) else ""
                if not cell or cell.casefold() in self._missing.texts:
                    continue
                del open_places[place]
                if not math.isnan(_to_number(cell, self._form.decimal)):
                    numeric.add(name)
            if not open_places:
                break
        return tuple(name for name in self.names if name in numeric)

    @property
    def times_ms(self) -> Sequence[int]:
        """The time of each row in milliseconds since 1970, increasing if the format says so; empty without a column of
        times."""
        self.load([])
        return self._times or array("q")

    def _require(self, name: str) -> str:
        if name not in self.names:
            known = ", ".join(map(repr, self.names)) or "no columns"
            raise ValueError(f"the file {self.file} has no column {name!r}; it has {known}")
        return name

    # Lines and rows

    def _read_header(self) -> None:
        with self._opened() as lines:
            first = next(lines, "")
            line, above = lines.number, lines.comment
            if "\0" in first:
                raise ValueError(
                    f"line {line} of {self.file} holds NUL characters; UTF-16 without a byte order mark needs "
                    'encoding = "utf-16-le"'
                )
            sample = [first, *islice(lines, _SAMPLE_LINES)]
        self._separator = self._form.separator or _recognise_separator(sample)
        header, named_above = self._split(first), self._split(above)
        # Some loggers write the names as the last comment line.
        if any(map(_is_number, header)) and len(named_above) == len(header) and not any(map(_is_number, named_above)):
            header, self._header_line = named_above, line - 1
        else:
            self._header_line = line
        self.names = tuple(name.strip() for name in header)
        for index, name in enumerate(self.names):
            if name and name in self.names[:index]:
                raise ValueError(f"line {self._header_line} of {self.file} names two columns {name!r}; rename one")

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header, each with the number of its line."""
        width = len(self.names)
        with self._opened(after=self._header_line) as lines:
            for row in csv.reader(lines, delimiter=self._separator, skipinitialspace=True):
                if len(row) > width and any(cell.strip() for cell in row[width:]):
                    raise ValueError(
                        f"line {lines.number} of {self.file} has {len(row)} cells and the header {width}; "
                        "separator says what is between the cells"
                    )
                yield lines.number, row

    @contextmanager
    def _opened(self, after: int = 0) -> Iterator[_Lines]:
        """The lines of the file without comments, after the first `after` lines."""
        try:
            with self.file.open(encoding=self._encoding(), newline="") as stream:
                yield _Lines(stream, self._form.comment, skip=max(after, self._form.skip))
        except UnicodeDecodeError as error:
            raise ValueError(self._not_decoded(error)) from None
        except LookupError:
            raise ValueError(f"there is no encoding {self._form.encoding!r}, with which to read {self.file}") from None
        except OSError as error:
            raise ValueError(f"the file {self.file} cannot be read: {error.strerror or error}") from None
        except (UnicodeError, csv.Error) as error:
            raise ValueError(f"the file {self.file} cannot be read: {error}") from None

    def _split(self, line: str) -> list[str]:
        return _split(line, self._separator)

    def _encoding(self) -> str:
        if self._form.encoding is not None:
            return self._form.encoding
        with self.file.open("rb") as stream:
            head = stream.read(4)
        return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "utf-8-sig")

    def _not_decoded(self, error: UnicodeDecodeError) -> str:
        encoding = self._encoding()
        place = str(self.file)
        if encoding.startswith("utf-8"):
            try:
                self.file.read_bytes().decode("utf-8")
            except UnicodeDecodeError as found:
                number = found.object.count(b"\n", 0, found.start) + 1
                place = f"line {number} of {self.file}"
        name = {"utf-8-sig": "UTF-8"}.get(encoding, encoding)
        hint = 'name its encoding, such as encoding = "latin-1"' if self._form.encoding is None else error.reason
        return f"{place} is not text in {name}: {hint}"

    # Cells

    def _number(self, text: str, line: int) -> float:
        if not text or text.casefold() in self._missing.texts:
            return math.nan
        value = _to_number(text, self._form.decimal)
        if value in self._missing.numbers:
            return math.nan
        if not -MAX_VALUE <= value <= MAX_VALUE:  # also not a number
            raise ValueError(
                f"{text!r} in line {line} of {self.file} is not a number within -1e9 and 1e9{self._hint(text)}"
            )
        return value

    def _hint(self, text: str) -> str:
        if self._form.decimal == "." and not math.isnan(_to_number(text, ",")):
            return '; decimal = "," reads decimal commas'
        if math.isfinite(_to_number(text, self._form.decimal)):
            return f"; missing = [{text}] makes it a missing value"
        return "" if any(map(str.isdigit, text)) else f'; missing = ["{text}"] makes it a missing value'

    def _time(self, clock: _Clock, text: str, line: int, before: int) -> int:
        place = f"line {line} of {self.file}"
        if not text:
            raise ValueError(f"{place} has no time in the column {self._form.time_column!r}")
        try:
            time_ms = clock.milliseconds(text)
        except (ValueError, OverflowError):
            form = (
                f"a time of the form {self._form.time_format!r}"
                if self._form.time_format
                else "a time in ISO 8601 or in seconds or milliseconds since 1970"
            )
            raise ValueError(
                f'{text!r} in {place} is not {form}; give its form, such as time_format = "%d.%m.%Y %H:%M"'
            ) from None
        if self._form.ordered and time_ms <= before:
            raise ValueError(f"{text!r} in {place} is not later than the time in the row before")
        return time_ms


class _Lines:
    """The lines of a file without empty ones and comments."""

    def __init__(self, stream: Iterable[str], comment: str, skip: int) -> None:
        self._lines = islice(enumerate(stream, start=1), skip, None)
        self._sign = comment
        self.number = 0
        """Of the last line."""
        self.comment = ""
        """The last comment, without its sign."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for number, text in self._lines:
            plain = text.lstrip("\ufeff \t") if number == 1 else text
            if self._sign and plain.startswith(self._sign):
                self.comment = plain.removeprefix(self._sign)
            elif plain.strip():
                self.number = number
                return plain
        raise StopIteration


class _MissingValues:
    def __init__(self, form: CsvFormat) -> None:
        texts = [str(value).strip().casefold() for value in form.missing if isinstance(value, str)]
        self.texts = frozenset(texts)
        numbers = [_to_number(text, form.decimal) for text in texts]
        self.numbers = frozenset([*numbers, *(value for value in form.missing if not isinstance(value, str))])


class _Clock:
    """Times as texts of one form."""

    def __init__(self, form: str | None) -> None:
        def by_pattern(text: str) -> int:
            return _to_ms(datetime.strptime(text, form or ""))  # noqa: DTZ007 - without a zone it is UTC

        known: dict[str | None, Callable[[str], int]] = {
            None: self._recognise, "iso": _iso, "s": _seconds, "ms": _whole_milliseconds,
        }  # fmt: skip
        self._parse = known.get(form, by_pattern)

    def milliseconds(self, text: str) -> int:
        """Since 1970. Raises ValueError, OverflowError."""
        return self._parse(text)

    def _recognise(self, text: str) -> int:
        """By the first time of the file, which all others must be like."""
        number = _to_number(text, ".")
        if math.isnan(number):
            self._parse = _iso
        elif number >= _FIRST_MILLISECONDS:
            self._parse = _whole_milliseconds
        elif number >= _FIRST_SECONDS:
            self._parse = _seconds
        else:
            raise ValueError(text)
        return self._parse(text)


def _iso(text: str) -> int:
    return _to_ms(datetime.fromisoformat(text))


def _seconds(text: str) -> int:
    return round(_to_number(text, ".") * 1000)  # ValueError for no number


def _whole_milliseconds(text: str) -> int:
    return round(_to_number(text, "."))


def _to_ms(time: datetime) -> int:
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _to_number(text: str, decimal: str) -> float:
    """Not a number where the text is none. Python's own rule would take 1_2 for 12 and digits of any script."""
    if "_" in text or not text.isascii():
        return math.nan
    if decimal != ".":
        if "." in text:
            return math.nan
        text = text.replace(decimal, ".")
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_number(text: str) -> bool:
    return any(not math.isnan(_to_number(text.strip(), decimal)) for decimal in ".,")


def _split(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])


def _recognise_separator(lines: Sequence[str]) -> str:
    """The one that gives the first lines of a file the same number of cells, more than one."""

    def fitness(separator: str) -> int:
        counts = [len(_split(line, separator)) for line in lines]
        return sum(count == counts[0] for count in counts) if counts and counts[0] > 1 else 0

    best = max(SEPARATORS, key=fitness)  # the first of several
    return best if fitness(best) else ","
