"""The language check finds listed words where they are used as words, and nothing else."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "check_language.py"

LIST: dict[str, Any] = {
    "not_checked": ["pacifictool/old/", "docs/list.md"],
    "words": [
        {"not": "ledger", "use": "state store"},
        {"not": "carry out", "use": "apply"},
        {"not": "patience", "use": "timeout"},
        {"not": "tally", "use": "partial aggregate"},
        {"not": "moment", "use": "batch context", "where": "identifiers"},
        {"not": "look", "use": "poller", "where": "names"},
        {"not": "known", "use": "classify", "where": "definitions"},
        {"not": "anew", "use": "again", "where": "prose"},
        {"not": "fault", "use": "problem", "paths": ["pacifictool/doctor/"]},
        {"pattern": r"(?<!\bthere )\bis\s+no\b", "use": "is not a", "where": "prose"},
    ],
    "allow": [
        {"text": r"ledger\.sqlite", "reason": "a file name"},
        {"words": ["ledgers"], "paths": ["docs/accounting*.md"], "reason": "about accounting"},
    ],
}


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_language", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_language"] = module
    spec.loader.exec_module(module)
    return module


def found(checker: ModuleType, path: str, text: str) -> list[tuple[int, str]]:
    words = checker.load_list(LIST)
    return [(finding.line, finding.word) for finding in checker.findings_in(path, text, words)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("one ledger", "ledger"),
        ("Ledgers", "ledgers"),
        ("the read_ledger_row function", "ledger"),
        ("the LedgerRow class", "ledger"),
        ("it carries\n    out the plan", "carries out"),
        ("two tallies", "tallies"),
        ("this is no file", "is no"),
    ],
)
def test_words_are_found_in_their_forms(checker: ModuleType, text: str, word: str) -> None:
    assert found(checker, "docs/page.md", text) == [(1, word)]


@pytest.mark.parametrize(
    "text", ["ledgerdemain", "impatience", "carry it out", "there is no file", "ledger.sqlite", ""]
)
def test_other_words_are_not(checker: ModuleType, text: str) -> None:
    assert found(checker, "docs/page.md", text) == []


def test_a_finding_names_its_line_and_the_better_word(checker: ModuleType) -> None:
    [finding] = checker.findings_in("docs/page.md", "one\ntwo\nledger\n", checker.load_list(LIST))
    assert str(finding) == "docs/page.md:3: ledger -> state store"


def test_rules_for_identifiers_leave_prose_alone_and_the_other_way_round(checker: ModuleType) -> None:
    code = '"""Wait a moment, and look."""\nmoment_of_batch = anew = 1  # a moment ago\n# and\n# anew\n'
    assert found(checker, "pacifictool/code.py", code) == [(2, "moment"), (4, "anew")]


def test_a_rule_for_names_wants_the_whole_name(checker: ModuleType) -> None:
    assert found(checker, "pacifictool/code.py", "look_up(look)\nclass Look: ...\n") == [(1, "look"), (2, "look")]


def test_a_rule_for_definitions_leaves_variables_alone(checker: ModuleType) -> None:
    assert found(checker, "pacifictool/code.py", "known = 1\ndef known(): ...\n") == [(2, "known")]
    assert found(checker, "pacifictool/known.py", "") == [(1, "known")]


def test_a_rule_with_paths_applies_there_only(checker: ModuleType) -> None:
    assert found(checker, "pacifictool/doctor/check.py", "fault = 1\n") == [(1, "fault")]
    assert found(checker, "pacifictool/sandbox/rig.py", "fault = 1\n") == []


def test_strings_within_code_are_prose(checker: ModuleType) -> None:
    assert found(checker, "pacifictool/code.py", 'x = f"this {x}\\n is no file"\n') == [(1, "is no")]


def test_an_exception_applies_to_its_words_and_paths(checker: ModuleType) -> None:
    assert found(checker, "docs/accounting.md", "ledgers and a ledger") == [(1, "ledger")]
    assert found(checker, "docs/accounting/other.md", "ledgers") == [(1, "ledgers")]


def test_an_exception_without_a_reason_is_refused(checker: ModuleType) -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        checker.load_list({**LIST, "allow": [{"text": "x"}]})


def test_paths_that_are_not_checked_are_covered(checker: ModuleType) -> None:
    skipped = checker.load_list(LIST).skipped
    assert checker.covers(skipped, "pacifictool/old/a/b.py")
    assert checker.covers(skipped, "docs/list.md")
    assert not checker.covers(skipped, "pacifictool/older.py")


def test_the_projects_list_can_be_loaded_and_matches_each_of_its_own_words(checker: ModuleType) -> None:
    document = tomllib.loads(SCRIPT.with_name("language.toml").read_text(encoding="utf-8"))
    words = checker.load_list(document)
    for entry, rule in zip(document["words"], words.rules, strict=True):
        assert "not" not in entry or rule.pattern.search(entry["not"]), entry
