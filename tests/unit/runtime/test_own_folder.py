"""Folders that pacifictool writes into: claimed when empty or its own, refused before the first change otherwise."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from pacifictool.errors import ForeignFolder
from pacifictool.runtime.own_folder import BROKER, CHECKPOINT, MARKER, PLATFORM, SANDBOX, FolderKind, check, claim

KINDS = [CHECKPOINT, BROKER, PLATFORM, SANDBOX]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """The modes and contents of everything below a folder."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *sorted(folder.rglob("*"))]
    }


def assert_refused(folder: Path, kind: FolderKind, *words: str) -> ForeignFolder:
    before = tree(folder) if folder.is_dir() else None
    for action in (claim, check):
        with pytest.raises(ForeignFolder) as raised:
            action(folder, kind)
        for word in (str(folder), kind.title, *words):
            assert word in raised.value.message
        assert kind.option in (raised.value.hint or "")
    assert (tree(folder) if folder.is_dir() else None) == before
    return raised.value


def sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()


@every_kind
def test_a_missing_folder_is_made_and_marked(tmp_path: Path, kind: FolderKind) -> None:
    folder = tmp_path / "a" / "b"
    assert not check(folder, kind)
    claim(folder, kind)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert json.loads((folder / MARKER).read_text()) == {"made_by": "pacifictool", "kind": kind.name, "format": 1}
    assert check(folder, kind)


@every_kind
def test_an_empty_folder_is_marked(tmp_path: Path, kind: FolderKind) -> None:
    tmp_path.chmod(0o755)
    assert not check(tmp_path, kind)
    assert not (tmp_path / MARKER).exists()
    claim(tmp_path, kind)
    assert check(tmp_path, kind)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_marked_folder_is_used_again_whatever_it_holds(tmp_path: Path) -> None:
    claim(tmp_path, SANDBOX)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "kafka").mkdir()
    marker = (tmp_path / MARKER).stat()
    claim(tmp_path, SANDBOX)
    assert check(tmp_path, SANDBOX)
    assert (tmp_path / MARKER).stat().st_mtime_ns == marker.st_mtime_ns


@every_kind
def test_a_folder_with_foreign_content_is_refused_and_stays_as_it_is(tmp_path: Path, kind: FolderKind) -> None:
    for name in ("kafka", "platform", "spark", "topics"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("ten years")
    error = assert_refused(tmp_path, kind, "kafka, platform, spark and 1 more")
    assert "Nothing in it was changed" in (error.hint or "")


def test_a_marker_of_another_kind_is_refused(tmp_path: Path) -> None:
    claim(tmp_path, SANDBOX)
    assert_refused(tmp_path, CHECKPOINT, "something else of pacifictool (sandbox)")


def test_a_marker_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text(json.dumps({"kind": "checkpoint", "format": 2}))
    error = assert_refused(tmp_path, CHECKPOINT, "another version", "format 2", "up to 1")
    assert "Use that version" in (error.hint or "")


@pytest.mark.parametrize(
    "text", ["", "not json", "[1]", '{"kind": "checkpoint"}', '{"kind": "checkpoint", "format": "1"}']
)
def test_a_damaged_marker_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MARKER).write_text(text)
    assert_refused(tmp_path, CHECKPOINT)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    claim(tmp_path / "real", SANDBOX)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    error = assert_refused(link, SANDBOX, f"symbolic link to {tmp_path / 'real'}")
    assert "Name the folder it leads to" in (error.hint or "")


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert_refused(link, SANDBOX, "symbolic link")
    assert not (tmp_path / "nowhere").exists()


def test_a_marker_that_is_a_link_is_refused(tmp_path: Path) -> None:
    claim(tmp_path / "ours", SANDBOX)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / MARKER).symlink_to(tmp_path / "ours" / MARKER)
    assert_refused(tmp_path / "foreign", SANDBOX, "cannot be read")


def test_a_marker_that_is_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MARKER)
    with pytest.raises(ForeignFolder, match="not written by this user"):
        claim(tmp_path, SANDBOX)


def test_an_unfinished_marker_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / f"{MARKER}.new").symlink_to(victim)
    claim(tmp_path / "folder", SANDBOX)
    assert victim.read_text() == "mine"
    assert check(tmp_path / "folder", SANDBOX)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(tmp_path / "file", SANDBOX, "is not a folder")


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(tmp_path, SANDBOX)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert_refused(tmp_path, SANDBOX, "belongs to another user")
    with pytest.raises(ForeignFolder) as caught:
        check(tmp_path, SANDBOX)
    assert (caught.value.hint or "").startswith("Run the command as ")  # a service's checkpoint, mostly


def test_a_root_of_a_file_system_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    claim(tmp_path, CHECKPOINT)
    assert check(tmp_path, CHECKPOINT)


def test_two_that_claim_at_once_agree(tmp_path: Path) -> None:
    errors: list[Exception] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            claim(tmp_path / "folder", SANDBOX)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [MARKER]


def make_checkpoint(folder: Path) -> None:
    sqlite(folder / "ledger.sqlite")
    (folder / "job.json").write_text(json.dumps({"topic": "t", "window_ms": 60000}))
    for name in ("spark", "tmp"):
        (folder / name).mkdir()
    (folder / "lock").touch()


def make_started_checkpoint(folder: Path) -> None:
    sqlite(folder / "ledger.sqlite")
    (folder / "tmp").mkdir()
    (folder / "lock").touch()


def make_broker(folder: Path) -> None:
    (folder / "server.properties").write_text("# Made by\nprocess.roles=broker,controller\nlog.dirs=topics\n")
    (folder / "topics").mkdir()
    (folder / "lock").touch()


def make_platform(folder: Path) -> None:
    sqlite(folder / "sandbox.db")
    (folder / "signing.key").write_bytes(b"k" * 64)


def make_failed_platform(folder: Path) -> None:
    (folder / "sandbox.log").write_text("Port 8080 is taken")


def make_sandbox(folder: Path) -> None:
    for name, make in (("kafka", make_broker), ("platform", make_platform)):
        (folder / name).mkdir()
        make(folder / name)
    (folder / "sandbox.log").touch()


EARLIER = [
    (CHECKPOINT, make_checkpoint),
    (CHECKPOINT, make_started_checkpoint),
    (BROKER, make_broker),
    (PLATFORM, make_platform),
    (PLATFORM, make_failed_platform),
    (SANDBOX, make_sandbox),
]


@pytest.mark.parametrize(("kind", "make"), EARLIER, ids=lambda value: getattr(value, "__name__", ""))
def test_folders_of_earlier_versions_are_adopted(tmp_path: Path, kind: FolderKind, make: object) -> None:
    assert callable(make)
    make(tmp_path)
    before = tree(tmp_path)
    assert check(tmp_path, kind)
    assert tree(tmp_path) == before
    claim(tmp_path, kind)
    assert (tmp_path / MARKER).is_file()
    assert check(tmp_path, kind)


def test_what_only_has_the_names_is_not_adopted(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    sqlite(checkpoint / "ledger.sqlite")
    (checkpoint / "job.json").write_text('{"title": "my job"}')
    assert_refused(checkpoint, CHECKPOINT)
    (checkpoint / "job.json").unlink()
    (checkpoint / "accounts.csv").touch()
    assert_refused(checkpoint, CHECKPOINT)
    broker = tmp_path / "broker"
    broker.mkdir()
    (broker / "server.properties").write_text("log.dirs=/var/lib/kafka\n")
    (broker / "topics").mkdir()
    assert_refused(broker, BROKER)
    sandbox = tmp_path / "sandbox"
    (sandbox / "kafka").mkdir(parents=True)
    (sandbox / "platform").mkdir()
    (sandbox / "platform" / "index.html").touch()
    assert_refused(sandbox, SANDBOX)


def test_parts_that_are_links_do_not_make_a_sandbox(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    make_platform(tmp_path / "real")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "platform").symlink_to(tmp_path / "real")
    assert_refused(folder, SANDBOX)
