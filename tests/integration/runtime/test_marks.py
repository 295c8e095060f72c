"""Marks of what runs: who is believed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pacifictool.runtime import marks
from pacifictool.runtime.marks import FOLDER, marked, running_marks, state_dirs_of_processes
from tests.support.waiting import wait_until


def test_a_mark_lives_as_long_as_its_context_and_follows_its_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "_EVERY_SECONDS", 0.01)
    facts: dict[str, object] = {"topic": "a"}
    with marked(tmp_path, "job", lambda: facts):
        (found,) = running_marks([tmp_path, tmp_path / "." / "nowhere", tmp_path])
        assert (found.kind, found.pid, found.facts) == ("job", os.getpid(), {"topic": "a"})
        facts["lag"] = 3
        wait_until(lambda: running_marks([tmp_path])[0].facts.get("lag") == 3)
        (file,) = (tmp_path / FOLDER).iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_killed_process_leaves_nothing_that_is_believed_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pacifictool.runtime.marks import marked\n"
        "context = marked(Path(sys.argv[1]), 'job', dict); context.__enter__(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=300)
    (left,) = (tmp_path / FOLDER).iterdir()
    assert running_marks([tmp_path]) == []
    with marked(tmp_path, "sandbox", dict):
        assert not left.exists()


def test_a_process_id_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    with marked(tmp_path, "job", dict):
        (file,) = (tmp_path / FOLDER).iterdir()
        document = json.loads(file.read_text(encoding="utf-8"))
        document["start"] += "0"
        file.write_text(json.dumps(document), encoding="utf-8")
        assert running_marks([tmp_path]) == []


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "job"}', '{"kind": "job", "pid": "x", "start": "", "facts": {}}'])
def test_other_files_are_no_marks(text: str, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "job-1.json").write_text(text, encoding="utf-8")
    assert running_marks([tmp_path]) == []


def test_the_state_folders_of_other_processes_of_this_user_are_known(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pacifictool.runtime.marks import marked\n"
        "with marked(Path(os.environ['SOME_STATE']), 'job', dict): print('ready', flush=True); sys.stdin.read()"
    )
    environ = {**os.environ, "SOME_STATE": "state"}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (found,) = running_marks(state_dirs_of_processes("SOME_STATE"))
        assert found.pid == process.pid
        process.communicate()
    assert running_marks([tmp_path / "state"]) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_root_sees_the_jobs_of_services(monkeypatch: pytest.MonkeyPatch) -> None:
    service = 54321
    state = Path(tempfile.mkdtemp(prefix="state-", dir="/tmp"))
    os.chown(state, service, service)
    code = (
        "import os, sys; from pathlib import Path; from pacifictool.runtime.marks import marked\n"
        "import encodings.ascii\n"  # afterwards Python's own files may not be readable
        f"os.setuid({service})\n"
        "with marked(Path(os.environ['SOME_STATE']), 'job', dict): print('ready', flush=True); sys.stdin.read()"
    )
    try:
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "SOME_STATE": str(state)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            found = running_marks([state, *state_dirs_of_processes("SOME_STATE")])
            assert [mark.pid for mark in found] == [process.pid]
            (file,) = (state / FOLDER).iterdir()
            os.chown(file, 0, 0)
            assert running_marks([state]) == []  # root did not write that of a process of another user
            os.chown(file, service, service)
            monkeypatch.setattr(os, "geteuid", lambda: service + 1)
            assert running_marks([state]) == []
            monkeypatch.undo()
            process.communicate()
    finally:
        shutil.rmtree(state)


def test_neither_links_nor_files_of_others_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with marked(there, "job", dict):
        (real,) = (there / FOLDER).iterdir()
        (here / FOLDER).mkdir(parents=True)
        (here / FOLDER / real.name).symlink_to(real)
        assert running_marks([here]) == []
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / FOLDER).symlink_to(there / FOLDER)
        assert running_marks([tmp_path / "linked"]) == []
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
        assert running_marks([there]) == []


def test_where_no_mark_can_be_written_there_is_none(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file", encoding="utf-8")
    with marked(tmp_path, "job", dict), marked(None, "job", dict):
        assert running_marks([tmp_path]) == []
    assert running_marks([tmp_path]) == []
