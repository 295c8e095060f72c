"""Builds wheel and sdist, installs the wheel into an empty environment, and plays the demo from another folder.

`make package` runs it; --no-demo leaves the demo out. A wheel built from the sdist must hold the same files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"

WANTED = (
    "pacifictool/py.typed",
    "pacifictool/resources/tutorial.toml",
    "pacifictool/resources/jars.lock.json",
    "pacifictool/resources/schemas/shared.json",
)
WANTED_IN_SDIST = (
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE",
    "requirements.lock",
    "scripts/language.toml",
)
WANTED_FIELDS = ("Name", "Version", "Summary", "Requires-Python", "License-Expression", "Author", "Keywords")


def main(arguments: list[str]) -> int:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    shutil.rmtree(DIST, ignore_errors=True)
    run(uv, "build", "--quiet", "--out-dir", str(DIST), str(ROOT))
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    check_contents(wheel)
    check_source(sdist)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(uv, "build", "--quiet", "--wheel", "--out-dir", str(folder / "again"), str(sdist))
        (again,) = (folder / "again").glob("*.whl")
        assert names(again) == names(wheel), set(names(again)) ^ set(names(wheel))
        run(uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
        python = folder / "venv" / "bin" / "python"
        run(uv, "pip", "install", "--quiet", "--python", str(python), str(wheel))
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        program = str(folder / "venv" / "bin" / "pacifictool")
        run(program, "--version", cwd=elsewhere)
        run(str(python), "-c", "import pacifictool; assert 'site-packages' in pacifictool.__file__", cwd=elsewhere)
        if "--no-demo" not in arguments:
            run(program, "demo", "--fast", cwd=elsewhere)
        assert not list(elsewhere.iterdir()), "the program left something in the folder that it was started in"
    print(f"{wheel.name} and {sdist.name} are in {DIST.name}/.")
    return 0


def check_contents(wheel: Path) -> None:
    """What has to be in the wheel, what must not, and its metadata."""
    found = names(wheel)
    missing = [name for name in WANTED if name not in found]
    assert not missing, missing
    foreign = [name for name in found if not name.startswith(("pacifictool/", "pacifictool-"))]
    assert not foreign, foreign
    packaged = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pacifictool").rglob("*") if is_source(path)}
    assert packaged <= set(found), packaged - set(found)
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in found if name.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode("utf-8"))
    empty = [field for field in WANTED_FIELDS if not fields.get(field)]
    assert not empty, empty
    assert "Typing :: Typed" in (fields.get_all("Classifier") or ())


def check_source(sdist: Path) -> None:
    """What a contributor needs has to be in the sdist."""
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    missing = [name for name in WANTED_IN_SDIST if name not in found]
    assert not missing, missing


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def run(*command: str, cwd: Path | None = None) -> None:
    """Runs in an environment without this one's settings. Exits with the command's code when it fails."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PACIFICTOOL_", "VIRTUAL_ENV"))
    }
    environ.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
