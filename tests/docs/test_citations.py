"""Every citation of a server's behaviour leads to a section of docs/servers/, and to the row that it names."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import markdown
import pytest
from markdown.extensions.toc import slugify

from tests.contract.facts import SECTIONS
from tests.support.documents import ROOT

SERVERS = ROOT / "docs" / "servers"
CODE = [
    path
    for folder in ("pacifictool", "tests", "examples", "scripts", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".sh", ".toml", ".yml", ".yaml", ".js", ".java", ".csv", ".json"}
    and path != Path(__file__)
]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

CITATION = re.compile(
    r"(?<![\w/.])docs/servers/(?P<page>[\w.-]+\.md)#(?P<anchor>[\w-]+)(?P<rows>, rows? \d+(?:(?:, | and )\d+)*)?"
)
MENTION = re.compile(r"servers/[\w.-]*\.md\S*|docs/servers/\S+")
LINK = re.compile(r"\]\((?P<path>[^)\s#]*)(?:#(?P<anchor>[\w-]+))?\)(?P<rows>, rows? \d+(?:(?:, | and )\d+)*)?")
DOCUMENT = re.compile(r"(?<![\w/.-])[\w./-]*\w\.md\b")
ELSEWHERE = {"CONFIGURATION.md"}
"""Documents of other projects, cited with the project's name."""

UNRESOLVABLE = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bfacts?[\s:,(]+(?:of\s+platform\b|platform-|sections?\s+\d|\d|dashboard-|rule-chain-)",
        r"\bplatform-(?:1x|modern)\b",
        r"(?<![\w/-])shared/(?:facts|design|style|cases|seed|hooks)\b",
        r"\b(?:design|style|fact)\s+cards?\b",
        r"\btables?\s+\d",
        r"\b(?:measured|observed)\s+facts\b",
        r"\bas\s+(?:measured|observed)\b",
        r"\bof the facts\b",
    )
]
SECTION = re.compile(r"\bsections?\s+(?:\d|A\b)", re.IGNORECASE)
STANDARD = re.compile(r"MQTT 3\.1\.1|MQTT 5|SQLite|RFC \d+|file format", re.IGNORECASE)
"""Published documents whose sections may be named by number."""

CLAIM = re.compile(
    r"\b(?:observed|measured|seen)\s+on\s+(?:(?:an?|the)\s+)?(?:(?:real|running)\s+server|\d\.)"
    r"|\bread\s+in\s+(?:its|the|their)\s+(?:published\s+)?sources?\b"
    r"|\breal\s+(?:\d[\w.]*\s+)?servers?\b"
    r"|\b(?:an?|the)\s+\d\.[\dx][\w.]*\s+server\b"
    r"|\b(?:not|was|were|been)\s+observed\b",
    re.IGNORECASE,
)
"""Words by which a comment states how a server behaves."""

CLAIM_OF_A_PAGE = re.compile(
    r"\bobserved\s+on\s+(?:an?\s+)?\d\.|\b(?:real|running)\s+\d\.[\dx][\w.]*\s+server\b", re.IGNORECASE
)

SOURCE = re.compile(
    r"(?:(?:observed on [\d., and]+ on \d{4}-\d\d-\d\d|read in the source of \d[\d., andto]*"
    r"|tried with [A-Za-z-]+ [\d.]+ on \d{4}-\d\d-\d\d)(?:; (?!$)|$))+"
)


@dataclass(frozen=True)
class Block:
    """A comment of one or more lines, a docstring, or a paragraph."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {' '.join(self.text.split())[:160]}"


def blocks_of(path: Path) -> Iterator[Block]:
    """The prose of a file."""
    text = path.read_text(encoding="utf-8")
    yield from python_blocks(path, text) if path.suffix == ".py" else paragraphs(path, text)


def python_blocks(path: Path, text: str) -> Iterator[Block]:
    """Docstrings and runs of comments."""
    comment: list[str] = []
    first = last = 0
    at_start = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if comment and token.start[0] != last + 1:
                yield Block(path, first, " ".join(comment))
                comment = []
            first = first if comment else token.start[0]
            last = token.start[0]
            comment.append(token.string.lstrip("# "))
        elif token.type == tokenize.STRING and at_start:
            yield Block(path, token.start[0], " ".join(token.string.split()))
        if token.type not in {tokenize.COMMENT, tokenize.NL}:
            at_start = token.type in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    if comment:
        yield Block(path, first, " ".join(comment))


def paragraphs(path: Path, text: str) -> Iterator[Block]:
    """Stretches between empty lines."""
    lines: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if line.strip():
            lines.append(re.sub(r"^\s*(?:#(?!#)|//|\*)\s?", "", line).strip())
        elif lines:
            yield Block(path, number - len(lines), " ".join(lines))
            lines = []


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as the documentation's builder makes them."""
    parser = markdown.Markdown(
        extensions=["toc", "tables", "attr_list", "def_list", "md_in_html", "pymdownx.superfences"]
    )
    parser.convert(page.read_text(encoding="utf-8"))

    def walk(tokens: list[dict[str, object]]) -> Iterator[str]:
        for token in tokens:
            yield str(token["id"])
            yield from walk(token["children"])  # type: ignore[arg-type]

    return set(walk(parser.toc_tokens))


def rows_of(page: Path) -> dict[str, dict[int, str]]:
    """By section: what each numbered row names as its source."""
    sections: dict[str, dict[int, str]] = {}
    anchor = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ (.*)", line):
            anchor = slugify(heading[1], "-")
        elif row := re.match(r"\| (\d+) \| .* \| ([^|]*) \|$", line):
            rows = sections.setdefault(anchor, {})
            assert int(row[1]) == len(rows) + 1, f"{page.name}#{anchor}: row {row[1]} follows {len(rows)}"
            rows[int(row[1])] = row[2]
    return sections


PAGES = {page.name: page for page in sorted(SERVERS.glob("*.md"))}
ANCHORS = {name: anchors_of(page) for name, page in PAGES.items()}
ROWS = {name: rows_of(page) for name, page in PAGES.items()}


def broken(page: str, anchor: str | None, rows: str | None) -> str | None:
    """What is wrong with a citation; None if nothing is."""
    if page not in PAGES:
        return f"there is no page docs/servers/{page}"
    if anchor is not None and anchor not in ANCHORS[page]:
        return f"docs/servers/{page} has no section #{anchor}"
    missing = set(map(int, re.findall(r"\d+", rows or ""))) - ROWS[page].get(anchor or "", {}).keys()
    return f"docs/servers/{page}#{anchor} has no row {min(missing)}" if missing else None


def faults_in_code(block: Block) -> Iterator[str]:
    """Citations without a target, of unknown form, or missing."""
    citations = list(CITATION.finditer(block.text))
    for found in citations:
        if fault := broken(found["page"], found["anchor"], found["rows"]):
            yield fault
    if stray := MENTION.search(CITATION.sub("", block.text)):
        yield f"not of the form docs/servers/PAGE.md#section: {stray[0]}"
    for document in DOCUMENT.findall(CITATION.sub("", block.text)):
        if document not in ELSEWHERE and not (document.startswith("docs/") and (ROOT / document).is_file()):
            yield f"an unknown document: {document}"
    yield from unresolvable(block)
    if not citations and (claim := CLAIM.search(block.text)):
        yield f"states a server's behaviour without a citation: {claim[0]}"


def unresolvable(block: Block) -> Iterator[str]:
    """Citations of documents that a reader of the repository does not have."""
    for form in UNRESOLVABLE:
        if found := form.search(block.text):
            yield f"cannot be followed: {found[0]}"
    if (section := SECTION.search(block.text)) and not STANDARD.search(block.text):
        yield f"a section of which document? {section[0]}"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_citation_in_code_leads_somewhere(path: Path) -> None:
    faults = [f"{block}\n    {fault}" for block in blocks_of(path) for fault in faults_in_code(block)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_server_page_leads_somewhere(path: Path) -> None:
    faults = []
    for block in paragraphs(path, path.read_text(encoding="utf-8")):
        for link in LINK.finditer(block.text):
            target = (path.parent / link["path"]).resolve() if link["path"] else path
            if target.parent == SERVERS and (fault := broken(target.name, link["anchor"], link["rows"])):
                faults.append(f"{block}\n    {fault}")
        faults += [
            f"{block}\n    {fault}"
            for found in CITATION.finditer(block.text)
            if (fault := broken(found["page"], found["anchor"], found["rows"]))
        ]
        faults += [f"{block}\n    {fault}" for fault in unresolvable(block)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", [path for path in TEXTS if path.parent != SERVERS], ids=lambda path: path.name)
def test_a_page_that_states_how_a_server_behaves_links_to_where_that_was_observed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    claim = CLAIM_OF_A_PAGE.search(text)
    links = [link for link in LINK.finditer(text) if (path.parent / link["path"]).resolve().parent == SERVERS]
    assert claim is None or links, f"{path.name}: {claim[0]}"


@pytest.mark.parametrize("name", PAGES)
def test_every_row_says_where_it_was_seen(name: str) -> None:
    assert ROWS[name]
    for anchor, rows in ROWS[name].items():
        assert anchor in ANCHORS[name]
        for number, source in rows.items():
            assert SOURCE.fullmatch(source), f"{name}#{anchor}, row {number}: {source!r}"


@pytest.mark.parametrize("section", SECTIONS)
def test_facts_of_the_contract_tests_have_an_address(section: str) -> None:
    for address in SECTIONS[section]:
        found = CITATION.fullmatch(address)
        assert found, address
        assert not broken(found["page"], found["anchor"], found["rows"])


def test_the_page_of_the_contract_tests_lists_their_identifiers() -> None:
    page = (ROOT / "docs" / "contract-tests.md").read_text(encoding="utf-8")
    listed = {
        row[1]: tuple(f"docs/{link['path']}#{link['anchor']}" for link in LINK.finditer(row[2]))
        for row in re.finditer(r"^\| `([\w ]+)` \| (.*) \|$", page, re.MULTILINE)
    }
    assert listed == SECTIONS


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Rules (docs/servers/1.x.md#rules-and-plugins, rows 1 and 16).", None),
        ("Rules (docs/servers/1.x.md#no-such-section).", "has no section"),
        ("Rules (docs/servers/1.x.md#rules-and-plugins, row 999).", "has no row 999"),
        ("Rules (docs/servers/5.x.md#rules-and-plugins).", "there is no page"),
        ("Rules (docs/servers/1.x.md).", "not of the form"),
        ("Rules (servers/1.x.md#rules-and-plugins).", "not of the form"),
        ("See notes/behaviour.md.", "unknown document"),
        ("See docs/behaviour.md.", "unknown document"),
        ("As the facts, section 2, say.", "cannot be followed"),
        ("See platform-1x.", "cannot be followed"),
        ("See shared/facts.", "cannot be followed"),
        ("500 (as measured).", "cannot be followed"),
        ("See table 3.", "cannot be followed"),
        ("See section 3.", "of which document"),
        ("MQTT 3.1.1, section 2.3.1.", None),
        ("A 1.4 server leaks a producer.", "without a citation"),
        ("Observed on 4.3.1.", "without a citation"),
    ],
)
def test_what_counts_as_a_citation(text: str, fault: str | None) -> None:
    faults = list(faults_in_code(Block(ROOT / "example.py", 1, text)))
    assert (fault is None and not faults) or any(fault and fault in found for found in faults), faults
