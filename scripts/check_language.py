"""Reports words that the project does not use, each with the word to use instead: `file:line: word -> better`.

The list is scripts/language.toml. Python files are read token by token, so that a rule can apply to prose (comments,
docstrings, strings), to identifiers (split at underscores and capitals), or to whole names. All other files are prose.
Exit code 0 without findings, 1 with findings.

    python scripts/check_language.py [PATH …]
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_name("language.toml")

Kind = Literal["prose", "identifier", "name", "definition"]

APPLIES: dict[str, frozenset[str]] = {
    "everywhere": frozenset({"prose", "identifier"}),
    "prose": frozenset({"prose"}),
    "identifiers": frozenset({"identifier"}),
    "names": frozenset({"name", "definition"}),
    "definitions": frozenset({"definition"}),
}
"""By the `where` of a rule: the kinds of text that it applies to."""

CHECKED = frozenset({".py", ".md", ".toml", ".sh", ".yml", ".yaml", ".js", ".css", ".html", ".java", ".cfg"})
CHECKED_NAMES = frozenset({"Makefile", ".editorconfig"})


@dataclass(frozen=True)
class Rule:
    """One word or phrase, and what to write instead."""

    better: str
    pattern: re.Pattern[str]
    kinds: frozenset[str]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Allowance:
    """A place where a word is right: words in matching paths, or texts that are blanked out before the check."""

    paths: tuple[str, ...]
    words: frozenset[str]
    text: re.Pattern[str] | None


@dataclass(frozen=True)
class WordList:
    """What language.toml says."""

    rules: tuple[Rule, ...]
    exceptions: tuple[Allowance, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    word: str
    better: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word} -> {self.better}"


@dataclass(frozen=True)
class Piece:
    """A stretch of text of one kind; a break in it counts as a space, so that phrases are found across lines."""

    kind: Kind
    line: int
    text: str


def forms_of(word: str) -> str:
    """A regular expression for a word or phrase with its plural and verb forms."""
    return r"\s+".join(_forms_of_one(part) for part in word.split())


def _forms_of_one(word: str) -> str:
    if len(word) < 4:
        return re.escape(word)
    forms = {word, f"{word}s", f"{word}ed", f"{word}ing"}
    if word.endswith("e"):
        forms |= {f"{word}d", f"{word[:-1]}ing"}
    elif word.endswith("y"):
        forms |= {f"{word[:-1]}ies", f"{word[:-1]}ied"}
    elif word.endswith(("s", "x", "z", "ch", "sh")):
        forms.add(f"{word}es")
    else:
        forms |= {f"{word}{word[-1]}ed", f"{word}{word[-1]}ing"}
    return f"(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"


def load_list(document: dict[str, Any]) -> WordList:
    """Raises KeyError or ValueError for an entry that is incomplete."""
    rules = []
    for entry in document["words"]:
        unknown = set(entry) - {"not", "pattern", "use", "where", "paths"}
        if unknown:
            raise ValueError(f"unknown keys in {entry}: {sorted(unknown)}")
        where = entry.get("where", "everywhere")
        body = entry["pattern"] if "pattern" in entry else rf"\b(?:{forms_of(entry['not'])})\b"
        if where in ("names", "definitions"):
            body = rf"^{re.escape(entry['not'])}$"
        rules.append(Rule(entry["use"], re.compile(body, re.IGNORECASE), APPLIES[where], tuple(entry.get("paths", ()))))
    exceptions = []
    for entry in document["allow"]:
        if not entry.get("reason"):
            raise ValueError(f"an exception needs a reason: {entry}")
        text = re.compile(entry["text"]) if "text" in entry else None
        exceptions.append(Allowance(tuple(entry.get("paths", ())), frozenset(entry.get("words", ())), text))
    return WordList(tuple(rules), tuple(exceptions), tuple(document["not_checked"]))


def covers(patterns: Iterable[str], path: str) -> bool:
    """Whether one of them is this path, a folder of it (`docs/`) or a pattern for it (`docs/*.md`)."""
    return any(
        path.startswith(pattern) if pattern.endswith("/") else PurePosixPath(path).match(pattern)
        for pattern in patterns
    )


def findings_in(path: str, text: str, words: WordList) -> list[Finding]:
    """All findings in a file that has this path, relative to the repository, and this text."""
    exceptions = [each for each in words.exceptions if not each.paths or covers(each.paths, path)]
    allowed = {word for each in exceptions for word in each.words}
    rules = [rule for rule in words.rules if not rule.paths or covers(rule.paths, path)]
    found = set()
    for piece in [*_path_pieces(path), *(python_pieces(text) if path.endswith(".py") else [Piece("prose", 1, text)])]:
        body = piece.text
        for each in exceptions:
            if each.text is not None:
                body = each.text.sub(lambda match: re.sub(r"\S", " ", match[0]), body)
        if piece.kind in ("prose", "identifier"):
            body = split_identifiers(body)
        for rule in rules:
            if piece.kind not in rule.kinds:
                continue
            for match in rule.pattern.finditer(body):
                word = " ".join(match[0].lower().split())
                if word not in allowed:
                    found.add(Finding(path, piece.line + body.count("\n", 0, match.start()), word, rule.better))
    return sorted(found)


def split_identifiers(text: str) -> str:
    """`read_oneRecord` as `read one Record`; line breaks stay where they are."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return re.sub(r"_|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])", " ", text)


def _path_pieces(path: str) -> Iterator[Piece]:
    """The names of a Python module and of its packages are identifiers, too."""
    if path.endswith(".py"):
        for part in PurePosixPath(path).with_suffix("").parts:
            yield Piece("identifier", 1, part)
            yield Piece("definition", 1, part)


def python_pieces(text: str) -> Iterator[Piece]:
    """Identifiers, strings and comments of a Python file; comments on consecutive lines are one piece."""
    comment: Piece | None = None
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            words = token.string.lstrip("#")
            if comment is not None and comment.line + comment.text.count("\n") + 1 == line:
                comment = Piece("prose", comment.line, f"{comment.text}\n{words}")
            else:
                if comment is not None:
                    yield comment
                comment = Piece("prose", line, words)
        elif token.type == tokenize.NAME:
            yield Piece("identifier", line, token.string)
            yield Piece("definition" if before in ("def", "class") else "name", line, token.string)
        elif token.type == tokenize.STRING or token.type == getattr(tokenize, "FSTRING_MIDDLE", None):
            yield Piece("prose", line, token.string)
        before = token.string
    if comment is not None:
        yield comment


def files_of_the_repository() -> list[str]:
    """Those that git has or would take, so that no environment or build folder is read."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def main(arguments: list[str]) -> int:
    words = load_list(tomllib.loads(LIST.read_text(encoding="utf-8")))
    chosen = [Path(name).resolve().relative_to(ROOT).as_posix() for name in arguments if not name.startswith("-")]
    findings = []
    for path in files_of_the_repository():
        is_text = Path(path).suffix in CHECKED or Path(path).name in CHECKED_NAMES
        is_chosen = any(path == name or path.startswith(f"{name}/") for name in chosen)
        # A path that is named is checked in any case.
        if not is_text or (chosen and not is_chosen) or (covers(words.skipped, path) and not is_chosen):
            continue
        findings += findings_in(path, (ROOT / path).read_text(encoding="utf-8"), words)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
