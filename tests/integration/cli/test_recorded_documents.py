"""Every JSON document that a test has a command print is checked, whoever prints it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pacifictool.troubleshooting
from tests.support.command_line import CommandLine
from tests.support.recorded_documents import RecordedDocuments, UndescribedDocument

FOUND = r"(?s)`help` printed \(in .*test_recorded_documents.*\):\n    text: 5 is not of type 'string'\nDescribe it in"


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> RecordedDocuments:
    plugin = request.config.pluginmanager.get_plugin("recorded-documents")
    assert isinstance(plugin, RecordedDocuments)
    return plugin


def test_a_document_of_this_process_that_is_not_described_is_found(
    recorded: RecordedDocuments, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command_line("help", "usage-error", "-o", "json").code == 0
    recorded.check()
    monkeypatch.setattr(pacifictool.troubleshooting, "entries", lambda: {"entry": 5})
    assert command_line("help", "entry", "-o", "json").code == 0
    with pytest.raises(UndescribedDocument, match=FOUND):
        recorded.check()
    recorded.check()  # each is reported once


def test_a_document_of_another_process_that_is_not_described_is_found(recorded: RecordedDocuments) -> None:
    code = (
        "import pacifictool.troubleshooting\n"
        "from pacifictool.cli.main import main\n"
        "pacifictool.troubleshooting.entries = lambda: {'entry': 5}\n"
        "main()\n"
    )
    subprocess.run([sys.executable, "-c", code, "help", "entry", "-o", "json"], capture_output=True, check=True)
    with pytest.raises(UndescribedDocument, match=FOUND):
        recorded.check()
