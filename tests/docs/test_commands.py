"""What the pages say about commands, options, variables and exit codes is true and complete."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.cli.app import COMMANDS
from pacifictool.errors import ExitCode
from tests.support.documents import PAGES, ROOT, SHELLS, blocks_of, command_lines, parse

REFERENCE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

FOREIGN_OPTIONS = {
    "docs/architecture.md": {"--page"},
    "docs/sinks.md": {"--telemetry-latency-seconds", "--telemetry-latency", "--queue"},
}
"""By page: options of the sandbox's own program and of benchmarks."""

OTHER_PROGRAMS = re.compile(r"(make|python|caffeinate|wsl|pip|uv|apt|apt-get|prometheus|ulimit)\b")
PAGES_OF_OTHER_PROGRAMS = {"docs/clusters.md", "docs/sandbox.md", "docs/performance.md", "docs/contract-tests.md"}
"""They describe options of spark-submit, the sandbox's program, the benchmarks and the tests."""


def lines_of(page: Path) -> Iterator[list[str]]:
    for block in blocks_of(page):
        if block.language in SHELLS:
            yield from command_lines(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_block_is_one(page: Path) -> None:
    for words in lines_of(page):
        if "…" not in words:
            parse(words)


def test_the_check_above_finds_what_is_wrong() -> None:
    parse(["setup", "--dry-run"])
    parse(["device", "list", "-o", "json"])
    for wrong in (["set-up"], ["setup", "--dry"], ["device", "list", "--nosuch"], ["report"]):
        with pytest.raises(Exception, match=r"(?i)no such|missing"):
            parse(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_and_command_that_the_text_names_exists(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    name = str(page.relative_to(ROOT))
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", REFERENCE)) | FOREIGN_OPTIONS.get(name, set())
    for code in re.findall(r"`([^`\n]+)`", text):
        if name not in PAGES_OF_OTHER_PROGRAMS and OTHER_PROGRAMS.match(code) is None:
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", code)) <= known, code
        command = re.match(r"pacifictool ([a-z][a-z-]*)", code)
        assert command is None or command[1] in COMMANDS, code


def test_every_command_and_global_option_has_its_place_in_the_reference() -> None:
    for name in COMMANDS:
        assert f"### pacifictool {name}" in REFERENCE


def test_every_exit_code_is_documented() -> None:
    for code in ExitCode:
        assert f"| {int(code)} |" in REFERENCE


def test_every_variable_is_documented_and_every_documented_variable_is_looked_at() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pacifictool").rglob("*.py"))
    pattern = r"\b(?:PACIFICTOOL|REST|MQTT)_[A-Z][A-Z_]*\b(?!=)"
    looked_at = set(re.findall(rf"[\"']({pattern})[\"']", source))
    documented = set(re.findall(rf"`({pattern})`", REFERENCE))
    assert looked_at - documented == set()
    assert documented - looked_at == set()


def test_every_variable_that_a_page_names_is_one_of_the_reference() -> None:
    documented = set(re.findall(r"PACIFICTOOL_[A-Z_]+", REFERENCE))
    for page in PAGES:
        named = set(re.findall(r"PACIFICTOOL_[A-Z]+(?:_[A-Z]+)*", page.read_text(encoding="utf-8")))
        if page.name == "contract-tests.md":
            named = {name for name in named if not name.startswith("PACIFICTOOL_CONTRACT")}
        assert named <= documented, page


def test_examples_name_only_what_exists() -> None:
    for path in (ROOT / "examples").iterdir():
        if path.suffix in {".sh", ".toml", ".yml"}:
            text = re.sub(r"(?m)^#\s{0,3}", "", path.read_text(encoding="utf-8"))
            for line in re.sub(r"\\\n\s*", " ", text).splitlines():
                found = re.search(r"(?<![\w./-])pacifictool (?=[a-z-])[^|>&#]+", line)
                if found is not None and found[0].split()[1] in COMMANDS:
                    parse([word for word in shlex.split(found[0])[1:] if word != '"$@"'])
