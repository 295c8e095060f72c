"""Downloads artifacts by coordinate with Apache Ivy, which is one of PySpark's jars.

The address of the central repository is built into Ivy. Measured for 55 jars (46 MB) of one repository: resolving
every POM and downloading one after the other 46 s; without resolution (every coordinate listed, not transitive) 13.5 s;
the same list distributed over 2, 4 and 8 Ivy processes 7.5, 5.0 and 4.8 s; without requests for checksum files a third
less.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import quoteattr

from pacifictool.errors import JarsMissing
from pacifictool.runtime.cache import disk_is_full
from pacifictool.runtime.java import UTF8_FILE_NAMES, JavaRuntime
from pacifictool.runtime.processes import ManagedProcess
from pacifictool.runtime.truststore import STORE_PASSWORD

PARALLEL = 4
CONNECT_SECONDS = 15
READ_SECONDS = 30

_TLS_WORDS = ("PKIX path", "SSLHandshakeException", "unable to find valid certification path")
_REASONS = (
    re.compile(r"Server access error at url \S+ \((?:[\w.]+: )?(.+?)\)?$"),
    re.compile(r"(Host \S+ not found)"),
    re.compile(r"(CLIENT ERROR: .+?)(?: url=|$)"),
    re.compile(r"(SERVER ERROR: .+?)(?: url=|$)"),
    re.compile(r"\[FAILED +\] [^\s:]+: (.+?) \(\d+ms\)$"),
    re.compile(r"(?:[\w.]+Exception: )(.+)"),
)
# Ivy's message for 404, and also for 401 and 403.
_NOT_OFFERED = re.compile(r":: [^\s#]+#([^\s;]+);(\S+): not found")


class Coordinate(NamedTuple):
    """Group, artifact and version of a jar in a Maven repository."""

    group: str
    artifact: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "group:artifact:version"; ValueError for anything else."""
        group, artifact, version = text.split(":")
        return cls(group, artifact, version)

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def maven_path(self) -> str:
        """Where the jar lies below the root of a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"

    def __str__(self) -> str:
        return ":".join(self)


def ivy_jar() -> Path:
    """The jar of Ivy among PySpark's; raises JarsMissing. PySpark is looked for, not imported (that takes 0.5 s)."""
    spec = importlib.util.find_spec("pyspark")
    if spec is not None and spec.origin is not None:
        for jar in (Path(spec.origin).parent / "jars").glob("ivy-*.jar"):
            return jar
    raise JarsMissing(
        "Jars cannot be fetched: PySpark, which brings the program for it (Apache Ivy), is not installed completely.",
        hint="Install pacifictool again with its dependencies, or name a folder that holds the jars.",
    )


class IvyFetch:
    """Several Ivy processes that download `coordinates` into `folder`, a new private folder, until it is left.

    Use as a context manager: leaving stops what still runs. `mirror` is the root of a Maven repository to use instead
    of the central one. `truststore` is a Java key store (see `truststore`) used instead of Java's own.
    """

    def __init__(
        self,
        coordinates: Sequence[Coordinate],
        folder: Path,
        *,
        java: JavaRuntime,
        mirror: str | None,
        truststore: Path | None,
        environ: Mapping[str, str],
    ) -> None:
        self._folder = folder
        # Options may hold the password of a proxy: they go into a file in a private folder, not into argv.
        options = folder / "java-options"
        options.write_text(
            "\n".join(_quoted(option) for option in _java_options(folder, truststore, environ)), encoding="utf-8"
        )
        options.chmod(0o600)
        self._destinations = {coordinate: folder / "jars" / coordinate.maven_path for coordinate in coordinates}
        self._processes: list[ManagedProcess] = []
        program: list[str | Path] = [
            *UTF8_FILE_NAMES,
            java.java,
            f"@{options}",
            "-cp",
            ivy_jar(),
            "org.apache.ivy.Main",
        ]
        try:
            for number in range(min(PARALLEL, len(coordinates))):
                settings, module = folder / f"settings-{number}.xml", folder / f"ivy-{number}.xml"
                settings.write_text(_settings_xml(folder, number, mirror), encoding="utf-8")
                module.write_text(_module_xml(coordinates[number::PARALLEL]), encoding="utf-8")
                self._processes.append(
                    ManagedProcess(
                        [*program, "-settings", settings, "-ivy", module], log_path=folder / f"ivy-{number}.log"
                    )
                )
        except BaseException:
            self.stop()
            raise

    def is_running(self) -> bool:
        return any(process.is_running() for process in self._processes)

    def arrived(self) -> dict[Coordinate, Path]:
        """The complete downloads so far (Ivy renames a file when it is complete)."""
        return {coordinate: path for coordinate, path in self._destinations.items() if path.is_file()}

    def received_bytes(self) -> int:
        """All bytes on disk so far, including unfinished downloads: shows progress on a slow network."""
        return bytes_below(self._folder / "jars")

    def stop(self) -> None:
        for process in self._processes:
            process.stop(grace_seconds=0)

    def untrusted(self) -> bool:
        """Whether the server's certificate was not trusted."""
        return any(word in log for log in self._logs() for word in _TLS_WORDS)

    def disk_full(self) -> bool:
        return any(disk_is_full(self._folder, log) for log in self._logs())

    def reason(self) -> str | None:
        """Why something did not arrive, in Ivy's words; None if Ivy gives no reason."""
        lines = [line.strip() for log in self._logs() for line in log.splitlines()]
        for pattern in _REASONS:
            for line in lines:
                if match := pattern.search(line):
                    return match[1].strip()
        for line in lines:
            if match := _NOT_OFFERED.search(line):
                return f"it has no {match[1]} {match[2]}, or shows it only after a login"
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _logs(self) -> list[str]:
        return ["\n".join(process.tail(400)) for process in self._processes]


def bytes_below(folder: Path) -> int:
    """The size of all files below a folder, which may be renamed or deleted meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _settings_xml(folder: Path, number: int, mirror: str | None) -> str:
    # No checksums: requests for each jar's .sha1 took a third of the time, and the lock file's SHA-256 is stronger.
    root = "" if mirror is None else f" root={quoteattr(mirror.rstrip('/') + '/')}"
    return f"""<ivysettings>
  <settings defaultResolver="maven"/>
  <timeout-constraints>
    <timeout-constraint name="timeouts" connectionTimeout="{CONNECT_SECONDS * 1000}"
                        readTimeout="{READ_SECONDS * 1000}"/>
  </timeout-constraints>
  <caches defaultCacheDir={quoteattr(str(folder / "jars"))}
          resolutionCacheDir={quoteattr(str(folder / f"resolution-{number}"))}
          ivyPattern="[organisation]/[module]/ivy-[revision].xml"
          artifactPattern="[orgPath]/[module]/[revision]/[artifact]-[revision].[ext]"/>
  <resolvers>
    <ibiblio name="maven" m2compatible="true" usepoms="false" useMavenMetadata="false" checksums=""
             timeoutConstraint="timeouts"{root}/>
  </resolvers>
</ivysettings>
"""


def _module_xml(coordinates: Sequence[Coordinate]) -> str:
    dependencies = "\n".join(
        f"    <dependency org={quoteattr(group)} name={quoteattr(artifact)} rev={quoteattr(version)}"
        f' transitive="false" conf="default->*">'
        f'<artifact name={quoteattr(artifact)} type="jar" ext="jar"/></dependency>'
        for group, artifact, version in coordinates
    )
    return f"""<ivy-module version="2.0">
  <info organisation="pacifictool" module="jars"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}
  </dependencies>
</ivy-module>
"""


def _java_options(folder: Path, truststore: Path | None, environ: Mapping[str, str]) -> list[str]:
    options = [
        # Short-lived: no second compiler, no parallel collector.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xmx128m",
        f"-Divy.default.ivy.user.dir={folder / 'user'}",
        f"-Djava.io.tmpdir={folder}",
        f"-Dsun.net.client.defaultConnectTimeout={CONNECT_SECONDS * 1000}",
        f"-Dsun.net.client.defaultReadTimeout={READ_SECONDS * 1000}",
        *proxy_options(environ),
    ]
    if truststore is not None:
        options += [
            f"-Djavax.net.ssl.trustStore={truststore}",
            "-Djavax.net.ssl.trustStoreType=JKS",
            f"-Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}",
        ]
    return options


def proxy_options(environ: Mapping[str, str]) -> list[str]:
    """Java's system properties for what http_proxy, https_proxy and no_proxy (or in capitals) say; may hold secrets."""
    options: list[str] = []
    for scheme in ("http", "https"):
        value = _either(environ, f"{scheme}_proxy") or _either(environ, "all_proxy")
        if not value:
            continue
        proxy = urlsplit(value if "//" in value else f"//{value}")
        if not proxy.hostname:
            continue
        if proxy.scheme.startswith("socks"):
            options += [f"-DsocksProxyHost={proxy.hostname}", f"-DsocksProxyPort={proxy.port or 1080}"]
            continue
        options += [f"-D{scheme}.proxyHost={proxy.hostname}", f"-D{scheme}.proxyPort={proxy.port or 80}"]
        if proxy.username:
            # Ivy reads these two for both schemes. By default Java refuses a plain password for https.
            options += [
                f"-Dhttp.proxyUser={unquote(proxy.username)}",
                f"-Dhttp.proxyPassword={unquote(proxy.password or '')}",
                "-Djdk.http.auth.tunneling.disabledSchemes=",
            ]
    if options:
        direct = ["localhost", "127.*", "[::1]"]
        for entry in (_either(environ, "no_proxy") or "").replace(" ", "").split(","):
            host = entry.split(":")[0].removeprefix("*").removeprefix(".")
            direct += [host, f"*.{host}"] if host else ["*"] if entry == "*" else []
        options.append(f"-Dhttp.nonProxyHosts={'|'.join(direct)}")
    return options


def _either(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name) or environ.get(name.upper())


def _quoted(option: str) -> str:
    """One line of a Java options file (`java @file`)."""
    escaped = option.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
