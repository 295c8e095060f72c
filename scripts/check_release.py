"""Whether this tree can be released: `make release-check`.

Version and changelog agree; the documentation builds without a warning; wheel and sdist hold what they must, with the
licence; the wheel installs, with its extra, into every supported Python of this machine, where commands run and the
demo plays once.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import check_package
from check_package import DIST, ROOT, run

PYTHONS = ("3.11", "3.12", "3.13")
_SMOKE = """
import pacifictool.functions, pacifictool.rest, pacifictool.scenario, pacifictool.spark
from pacifictool.scenario import tutorial_scenario
print(len(tutorial_scenario().analytics), "analytics in the tutorial's scenario")
"""


def main() -> int:
    version = check_version()
    run(str(Path(sys.executable).with_name("mkdocs")), "build", "--strict", "--quiet", cwd=ROOT)
    if code := check_package.main([]):
        return code
    (wheel,) = DIST.glob("*.whl")
    check_metadata(wheel, version)
    tried = [python for python in PYTHONS if try_python(python, wheel)]
    print(f"{wheel.name} can be released; installed and tried with Python {', '.join(tried)}.")
    return 0 if tried else 1


def check_version() -> str:
    """The version, which the package and the changelog's newest section must have, too; nothing is left unreleased."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    stated = re.search(r'__version__ = "(.+)"', (ROOT / "pacifictool" / "__init__.py").read_text(encoding="utf-8"))
    assert stated is not None, "pacifictool/__init__.py states no version"
    assert stated[1] == version, f"pyproject.toml has version {version}, the package {stated[1]}"
    sections = re.split(r"(?m)^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[1:]
    unreleased = [section for section in sections if section.startswith("[Unreleased]")]
    assert all(len(section.splitlines()) < 3 for section in unreleased), "CHANGELOG.md has unreleased changes"
    newest = next(section for section in sections if section not in unreleased)
    wanted = rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    assert re.match(wanted, newest), f"the newest section of CHANGELOG.md is not [{version}] - DATE"
    return version


def check_metadata(wheel: Path, version: str) -> None:
    """The licence is in the wheel; the description is the README; versions of Python are those tried here."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode("utf-8"))
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "no licence in the wheel"
    assert fields["Version"] == version, fields["Version"]
    assert fields["Description-Content-Type"] == "text/markdown"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert str(fields.get_payload()).strip() == readme.strip(), "the description is not README.md"
    classifiers = fields.get_all("Classifier") or []
    stated = {line.rpartition(" ")[2] for line in classifiers if re.search(r":: \d\.\d+$", line)}
    assert stated == set(PYTHONS), stated


def try_python(version: str, wheel: Path) -> bool:
    """Installs the wheel with its extra for that Python and calls it; False where this machine does not have it."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    found = interpreter(uv, version)
    if found is None:
        print(f"Python {version} is not on this machine: not tried.")
        return False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(uv, "venv", "--quiet", "--python", found, str(folder / "venv"))
        binaries = folder / "venv" / "bin"
        run(uv, "pip", "install", "--quiet", "--python", str(binaries / "python"), f"{wheel}[analytics]")
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        run(str(binaries / "pacifictool"), "--version", cwd=elsewhere)
        run(str(binaries / "pacifictool"), "show", "rule-chain", "--output", "json", cwd=elsewhere)
        run(str(binaries / "python"), "-c", _SMOKE, cwd=elsewhere)
    return True


def interpreter(uv: str, version: str) -> str | None:
    """That Python, wherever it is on this machine; nothing is downloaded."""
    search = [uv, "python", "find", "--no-python-downloads", "--system", version]
    done = subprocess.run(search, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
