"""The jars that Spark's Kafka connector and the Kafka broker need: from the lock file into a verified cache.

The lock file (`resources/jars.lock.json`, made by `scripts/lock_jars.py`) names each jar by coordinate, size and
SHA-256. The cache has the layout of a Maven repository, so that a copy of it can be used as the folder of jars on a
machine without a network.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from pacifictool.errors import JarsMissing
from pacifictool.progress import SILENT, ProgressTask, Reporter
from pacifictool.runtime.cache import storage_full, writing
from pacifictool.runtime.ivy import Coordinate, IvyFetch
from pacifictool.runtime.java import JavaRuntime
from pacifictool.runtime.truststore import machine_certificates, write_truststore

SPARK_KAFKA = "spark-kafka"
KAFKA_BROKER = "kafka-broker"

STALL_SECONDS = 60.0
"""A download without a byte for this time is aborted. Longer than Ivy's own timeouts, whose messages are clearer."""

_POLL_SECONDS = 0.1
_ATTEMPTS = 2
_NO_ENVIRON: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class LockedJar:
    """One jar of the lock file."""

    coordinate: Coordinate
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class JarSet:
    """A named set of the lock file."""

    name: str
    title: str
    """The set's name for people: "the Kafka broker"."""
    jars: tuple[LockedJar, ...]

    @property
    def size(self) -> int:
        """Bytes of all jars together."""
        return sum(jar.size for jar in self.jars)


@cache
def jar_set(name: str) -> JarSet:
    """The set `name` of the lock file; KeyError when there is none."""
    text = importlib.resources.files("pacifictool").joinpath("resources/jars.lock.json").read_text(encoding="utf-8")
    entry = json.loads(text)["sets"][name]
    jars = (LockedJar(Coordinate.parse(jar["jar"]), jar["size"], jar["sha256"]) for jar in entry["jars"])
    return JarSet(name, entry["title"], tuple(jars))


_WORKSPACE_PREFIX = "pacifictool-jars-"
"""A name of its own, since the cache may be a folder in which the user keeps other things."""


def jar_path(jar: LockedJar, cache_dir: Path) -> Path:
    """Where the cache keeps a jar."""
    return cache_dir / "jars" / jar.coordinate.maven_path


def missing_jars(name: str, cache_dir: Path) -> list[LockedJar]:
    """The jars of a set that are not in the cache, or not as the lock file wants them. Changes nothing."""
    return [jar for jar in jar_set(name).jars if not _is_valid(jar_path(jar, cache_dir), jar)]


def ensure_jars(
    name: str,
    *,
    java: JavaRuntime,
    cache_dir: Path,
    mirror: str | None = None,
    folder: Path | None = None,
    environ: Mapping[str, str] = _NO_ENVIRON,
    reporter: Reporter = SILENT,
) -> list[Path]:
    """The verified jars of the set SPARK_KAFKA or KAFKA_BROKER, as paths in the cache; what is missing is fetched.

    `folder` holds the jars on a machine without a network, in one folder or in Maven's layout; when given, no other
    source is used. `mirror` is a Maven repository to use instead of the central one. `environ` provides proxies and
    certificates. Every cached jar is hashed at each call (30-60 ms for the broker's set), and a damaged one is
    downloaded again. Nothing is sent anywhere when all jars are cached.

    Raises JarsMissing, StorageFull, or RuntimeMissing when the cache cannot be written.
    """
    wanted = jar_set(name)
    if missing_jars(name, cache_dir):
        if mirror is not None:
            _check_mirror(mirror)
        with _cache_to_ourselves(cache_dir, wanted, reporter) as workspace:
            # Another process may have downloaded them while this one waited for the lock.
            if missing := missing_jars(name, cache_dir):
                with reporter.task(f"Fetching {wanted.title}", total=len(wanted.jars), unit="jars") as task:
                    task.update(completed=len(wanted.jars) - len(missing))
                    if folder is not None:
                        _take_from_folder(wanted, missing, folder, cache_dir, workspace, task)
                    else:
                        fetcher = _Fetcher(wanted, java, cache_dir, mirror, environ, reporter, task)
                        with writing(cache_dir, "the jar cache"):
                            fetcher.fetch(missing, workspace)
    return [jar_path(jar, cache_dir) for jar in wanted.jars]


class _Fetcher:
    """Fetches the missing jars of one set."""

    def __init__(
        self,
        wanted: JarSet,
        java: JavaRuntime,
        cache_dir: Path,
        mirror: str | None,
        environ: Mapping[str, str],
        reporter: Reporter,
        task: ProgressTask,
    ) -> None:
        self._wanted = wanted
        self._java = java
        self._cache_dir = cache_dir
        self._mirror = mirror
        self._environ = environ
        self._reporter = reporter
        self._task = task
        self._source = "the central Maven repository" if mirror is None else mirror

    def fetch(self, missing: Sequence[LockedJar], workspace: Path) -> None:
        # A Java that a person installed may know the company's certificates; the one from the package registry
        # cannot, so it starts with the machine's.
        use_machine_trust = self._java.source not in ("JAVA_HOME", "PATH")
        left: list[LockedJar] = list(missing)
        for attempt in range(_ATTEMPTS):
            folder = workspace / str(attempt)
            folder.mkdir()
            before = len(left)
            reason, untrusted, damaged = self._run_ivy(left, folder, use_machine_trust=use_machine_trust)
            left = [jar for jar in left if not jar_path(jar, self._cache_dir).is_file()]
            if not left:
                return
            self._reporter.detail(f"{len(left)} jars did not arrive: {damaged or reason or 'no reason given'}.")
            if untrusted and not use_machine_trust:
                use_machine_trust = True
            elif len(left) == before and damaged is None:
                break  # Nothing at all arrived: a second attempt would only take time.
        if damaged:
            raise JarsMissing(
                damaged,
                hint="Something between here and the repository changes files. Try again from another network, "
                "or name a mirror or a folder that you trust.",
                jars=[str(jar.coordinate) for jar in left],
            )
        raise JarsMissing(
            f"{len(left)} of {len(self._wanted.jars)} jars for {self._wanted.title} are not in {self._cache_dir} and "
            f"could not be fetched from {self._source}: {(reason or 'the reason is not known').rstrip('.')}.",
            hint="Connect to the network (a proxy: HTTPS_PROXY) and run it again, or name a mirror "
            "or a folder that holds the jars.",
            jars=[str(jar.coordinate) for jar in left],
        )

    def _run_ivy(
        self, jars: Sequence[LockedJar], folder: Path, *, use_machine_trust: bool
    ) -> tuple[str | None, bool, str | None]:
        """Fetches what it can into the cache; returns Ivy's reason, distrust of TLS, and what is wrong with a jar."""
        truststore = None
        if use_machine_trust and (certificates := machine_certificates(self._environ)):
            truststore = folder / "trust.jks"
            write_truststore(truststore, certificates)
        # Large ones first and assigned in turn, so that the processes end at about the same time.
        by_coordinate = {jar.coordinate: jar for jar in sorted(jars, key=lambda jar: -jar.size)}
        damaged: str | None = None
        stalled = False
        done: set[Coordinate] = set()
        received, alive = 0, time.monotonic()
        with IvyFetch(
            list(by_coordinate),
            folder,
            java=self._java,
            mirror=self._mirror,
            truststore=truststore,
            environ=self._environ,
        ) as fetch:
            running = True
            while running and not stalled:
                running = fetch.is_running()
                for coordinate, path in fetch.arrived().items():
                    if coordinate in done:
                        continue
                    done.add(coordinate)
                    jar = by_coordinate[coordinate]
                    damaged = _difference(path, jar, self._source) or damaged
                    if _admit(path, jar, self._cache_dir):
                        self._task.advance()
                if running:
                    now = time.monotonic()
                    if (size := fetch.received_bytes() + len(done)) != received:
                        received, alive = size, now
                    stalled = now - alive > STALL_SECONDS
                    time.sleep(_POLL_SECONDS)
            if fetch.disk_full():
                raise storage_full(self._cache_dir, "the jar cache")
            reason = f"no data arrived for {STALL_SECONDS:.0f} s" if stalled else fetch.reason()
            return reason, fetch.untrusted(), damaged


def _take_from_folder(
    wanted: JarSet, missing: Sequence[LockedJar], folder: Path, cache_dir: Path, workspace: Path, task: ProgressTask
) -> None:
    absent: list[str] = []
    for jar in missing:
        candidates = [
            path
            for path in (
                folder / jar.coordinate.maven_path,
                folder / "jars" / jar.coordinate.maven_path,
                folder / jar.coordinate.file_name,
            )
            if path.is_file()
        ]
        if not candidates:
            absent.append(jar.coordinate.file_name)
        elif any(_admit_copy(path, jar, cache_dir, workspace) for path in candidates):
            task.advance()
        else:
            raise JarsMissing(
                _difference(candidates[0], jar, str(candidates[0])) or f"{candidates[0]} changed while it was read.",
                hint=f"Put the jar {jar.coordinate} as the central Maven repository has it into {folder}.",
                jars=[str(jar.coordinate)],
            )
    if absent:
        names = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        raise JarsMissing(
            f"The folder {folder} lacks {len(absent)} of {len(wanted.jars)} jars for {wanted.title}: {names}.",
            hint="Copy the jar cache of a machine that has them, or every jar of the lock file, into it.",
            jars=absent,
        )


def _admit_copy(path: Path, jar: LockedJar, cache_dir: Path, workspace: Path) -> bool:
    copy = workspace / jar.coordinate.file_name
    with writing(cache_dir, "the jar cache"):
        shutil.copyfile(path, copy)
    return _admit(copy, jar, cache_dir)


def _admit(path: Path, jar: LockedJar, cache_dir: Path) -> bool:
    """Moves a file of the cache's disk to its place in the cache if it is the jar, else deletes it."""
    if not _is_valid(path, jar):
        path.unlink()
        return False
    target = jar_path(jar, cache_dir)
    with writing(cache_dir, "the jar cache"):
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    return True


def _is_valid(path: Path, jar: LockedJar) -> bool:
    try:
        return path.stat().st_size == jar.size and _sha256(path) == jar.sha256
    except OSError:
        return False


def _difference(path: Path, jar: LockedJar, source: str) -> str | None:
    """How a file differs from the jar of the lock file, as a sentence; None when it does not."""
    actual = _sha256(path)
    if actual == jar.sha256:
        return None
    return (
        f"{jar.coordinate.file_name} from {source} is not the jar that the lock file names: "
        f"SHA-256 {jar.sha256} expected, got {actual} ({path.stat().st_size} bytes instead of {jar.size})."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_mirror(mirror: str) -> None:
    address = urlsplit(mirror)
    if address.scheme not in ("http", "https", "file") or (address.scheme != "file" and not address.hostname):
        raise JarsMissing(
            "The address of the mirror is not an http, https or file URL.",
            hint="Give the root of a Maven repository, for example https://repository.example/maven2.",
        )
    if address.username is not None or address.password is not None:
        # Ivy wants the server's realm with a password, and the address is shown in messages.
        raise JarsMissing(
            f"The mirror on {address.hostname} is given with a password in its address, which is not supported.",
            hint="Fetch the jars by other means and name the folder that holds them.",
        )


@contextlib.contextmanager
def _cache_to_ourselves(cache_dir: Path, wanted: JarSet, reporter: Reporter) -> Iterator[Path]:
    """One download at a time per cache; gives a private folder on the cache's disk that is deleted afterwards.

    The kernel releases the lock when its process ends. A file system without locks costs no correctness: jars are
    complete and verified before they are moved to their place.
    """
    workspaces = cache_dir / "fetching"
    with writing(cache_dir, "the jar cache"):
        workspaces.mkdir(parents=True, exist_ok=True)
        lock = (cache_dir / "fetching.lock").open("a")
    with lock:
        alone = _lock(lock.fileno(), wanted, reporter)
        with writing(cache_dir, "the jar cache"):
            if alone:
                for abandoned in workspaces.glob(f"{_WORKSPACE_PREFIX}*"):
                    shutil.rmtree(abandoned, ignore_errors=True)
            workspace = Path(tempfile.mkdtemp(prefix=_WORKSPACE_PREFIX, dir=workspaces))
        try:
            yield workspace
        finally:
            shutil.rmtree(workspace, ignore_errors=True)


def _lock(handle: int, wanted: JarSet, reporter: Reporter) -> bool:
    # Imported here: it takes 26 ms that commands whose jars are cached need not spend.
    from filelock import lock_descriptor

    try:
        if not lock_descriptor(handle, blocking=False):
            reporter.info(f"Another pacifictool is fetching jars; waiting for it before fetching {wanted.title}.")
            lock_descriptor(handle)
    except OSError:
        return False
    return True
