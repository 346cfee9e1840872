"""Trino: one coordinator that also works, with the lake and an in-memory catalog."""

import json
import os
import shutil
import tarfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from ticklake.console import step
from ticklake.local import aot, jars, jvm, postgres
from ticklake.local.ports import LOOPBACK
from ticklake.local.processes import Port, Server
from ticklake.settings import LocalSettings, Settings

NAME = "trino"
TITLE = "Trino"
_ANSWERS = 30  # a query gives its state a few times before it is done
_KEPT = ("bin", "lib", "plugin/iceberg", "plugin/memory")
_UNPACKED_BYTES = 700 << 20
_SEAL = ".ticklake-unpacked"
_SMALL_HEAP_MB = 2048
# its pauses are short on so little, and no thread of its own competes with queries for two cores
_SMALL_HEAP = ("-XX:+UseSerialGC",)
_LARGE_HEAP = ("-XX:+UseG1GC", "-XX:G1HeapRegionSize=4M", "-XX:+ExplicitGCInvokesConcurrent")
_PASSWORD_VARIABLE = "TICKLAKE_CATALOG_PASSWORD"  # noqa: S105 - a name


def ports(local: LocalSettings) -> tuple[Port, ...]:
    """What it listens on."""
    return (Port(local.trino_port, "trino_port"),)


def address(local: LocalSettings) -> str:
    """The web page, and where clients find it."""
    return f"http://{LOOPBACK}:{local.trino_port}"


def write_files(settings: Settings) -> list[Path]:
    """Write Trino's configuration; no secret is in it."""
    local = settings.local
    folder = local.home / "trino"
    etc = folder / "etc"
    (etc / "catalog").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    files = {
        "config.properties": {
            "coordinator": "true",
            "node-scheduler.include-coordinator": "true",
            "http-server.http.port": str(local.trino_port),
            "discovery.uri": address(local),
            # a catalog of the static kind is unknown to the scheduler until its next look at the
            # nodes, up to 5 s after the server says that it has started
            "catalog.management": "dynamic",
            "catalog.store": "file",
            # it watches its only worker, which is itself: pings lost to a busy start would leave
            # queries without any node
            "failure-detector.enabled": "false",
            "query.max-memory": f"{local.trino_heap_mb // 2}MB",
            "query.max-memory-per-node": f"{local.trino_heap_mb // 2}MB",
            "memory.heap-headroom-per-node": f"{local.trino_heap_mb // 4}MB",
            "task.concurrency": "2",
            "task.max-worker-threads": "4",
            "query.max-history": "50",
            "query.min-expire-age": "2m",
            # what is kept of each task is read five times a second, and is most of the heap
            "task.info.max-age": "1m",
            # the page opens without a question; it listens on loopback only
            "web-ui.authentication.type": "fixed",
            "web-ui.user": "ticklake",
        },
        "catalog-store.properties": {
            "catalog.config-dir": str(etc / "catalog"),
            "catalog.read-only": "true",
        },
        "log.properties": {"io.trino": "WARN", "io.airlift": "WARN", "org": "WARN"},
        f"catalog/{settings.catalog.name}.properties": _lake(settings),
        "catalog/memory.properties": {
            "connector.name": "memory",
            "memory.max-data-per-node": "64MB",
        },
    }
    for stale in (etc / "catalog").glob("*.properties"):
        stale.unlink()
    for name, values in files.items():
        text = "".join(f"{key}={value}\n" for key, value in values.items())
        (etc / name).write_text(text)
    return [etc / name for name in files]


def prepare(settings: Settings) -> Server:
    """Unpack the server once and write its configuration; the server that runs on them."""
    local = settings.local
    program = ensure_unpacked(local)
    written = write_files(settings)
    folder = local.home / "trino"
    etc = folder / "etc"
    flags = (
        *(_SMALL_HEAP if local.trino_heap_mb <= _SMALL_HEAP_MB else _LARGE_HEAP),
        *jvm.LATE_COMPILER,
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        "-XX:ReservedCodeCacheSize=256M",
        "-Djdk.attach.allowAttachSelf=true",
        "-Dfile.encoding=UTF-8",
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
    )
    classpath = sorted((program / "lib").glob("*.jar"))
    return Server(
        name=NAME,
        title=TITLE,
        passing_options=aot.options(local, NAME, classpath, flags),
        command=(
            jvm.java(),
            f"-Xmx{local.trino_heap_mb}m",
            *flags,
            *jvm.QUIET,
            jvm.temporary(folder),
            "-Dnode.environment=local",
            "-Dnode.id=ticklake",
            f"-Dnode.data-dir={folder / 'data'}",
            f"-Dnode.internal-address={LOOPBACK}",
            f"-Dnode.bind-ip={LOOPBACK}",
            f"-Dconfig={etc / 'config.properties'}",
            f"-Dlog.levels-file={etc / 'log.properties'}",
            f"-Dplugin.dir={program / 'plugin'}",
            f"-Dcatalog.config-dir={etc / 'catalog'}",
            "-cp",
            jvm.classpath(classpath),
            "io.trino.server.TrinoServer",
        ),
        ready=lambda: _serves(settings),
        cwd=folder,
        env={_PASSWORD_VARIABLE: _password(settings)},
        patience_seconds=180,
        settled_by=tuple(written),
    )


def _lake(settings: Settings) -> dict[str, str]:
    catalog = settings.catalog
    values = {
        "connector.name": "iceberg",
        "iceberg.register-table-procedure.enabled": "true",
        "fs.hadoop.enabled": "true",
    }
    if catalog.kind == "rest":
        return values | {
            "iceberg.catalog.type": "rest",
            "iceberg.rest-catalog.uri": catalog.uri,
            "iceberg.rest-catalog.warehouse": catalog.warehouse,
        }
    return values | {
        "iceberg.catalog.type": "jdbc",
        "iceberg.jdbc-catalog.catalog-name": catalog.name,
        "iceberg.jdbc-catalog.driver-class": "org.postgresql.Driver",
        "iceberg.jdbc-catalog.connection-url": f"jdbc:{catalog.uri}",
        "iceberg.jdbc-catalog.connection-user": catalog.user,
        # the server reads it from its environment: no secret lies in the configuration
        "iceberg.jdbc-catalog.connection-password": f"${{ENV:{_PASSWORD_VARIABLE}}}",
        "iceberg.jdbc-catalog.schema-version": "V1",
        "iceberg.jdbc-catalog.default-warehouse-dir": catalog.warehouse,
    }


def _password(settings: Settings) -> str:
    given = settings.catalog.password.get_secret_value()
    return given or postgres.ensure_password(settings.local)


def _serves(settings: Settings) -> bool:
    """Whether it answers a query and has the lake.

    It says that it has started before it has found its worker, and starts without a catalog whose
    configuration it refuses.
    """
    request = Request(  # noqa: S310 - our own http
        f"{address(settings.local)}/v1/statement",
        data=b"SHOW CATALOGS",
        headers={"X-Trino-User": "ticklake"},
    )
    names: list[list[str]] = []
    try:
        if _get(Request(f"{address(settings.local)}/v1/info"))["starting"]:  # noqa: S310 - ours
            return False  # a query would fail, and its page would list it
        for _ in range(_ANSWERS):
            answer = _get(request)
            names += answer.get("data", [])
            if "nextUri" not in answer:
                return [settings.catalog.name] in names
            request = Request(answer["nextUri"])  # noqa: S310 - our own http
    except (URLError, OSError, ValueError):
        return False
    return False


def _get(request: Request) -> dict[str, Any]:
    with urlopen(request, timeout=3) as answer:  # noqa: S310 - our own http
        found: dict[str, Any] = json.load(answer)
        return found


def ensure_unpacked(local: LocalSettings) -> Path:
    """The unpacked server in the cache; fetched and unpacked if it is not there.

    Of 2.1 GB only the server, the Iceberg and the memory connector are kept, and the archive is
    removed afterwards.
    """
    (jar,) = jars.locked()["trino"]
    version = jar.coordinate.rpartition(":")[2]
    target = local.cache.expanduser().resolve() / f"trino-{version}"
    seal = target / _SEAL
    with jars.exclusive(target):
        if not (seal.exists() and seal.read_text() == jar.sha256):
            _unpack_anew(local, jar, target)
    return target


def _unpack_anew(local: LocalSettings, jar: jars.Jar, target: Path) -> None:
    archive = jars.location(local, jar)
    jars.require_space(
        target, _UNPACKED_BYTES + (0 if archive.exists() else jar.size), "Trino and its archive"
    )
    jars.ensure(local, "trino")
    step("unpacking Trino")
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        unpack(archive, partial)
        (partial / _SEAL).write_text(jar.sha256)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    jars.unmark([archive])


def unpack(archive: Path, target: Path) -> None:
    """Unpack the kept folders.

    Most of a plugin's jars are hard links, often to another plugin's file that is not kept. So
    the archive is read twice: once to see which file each kept name stands for, once to write it.
    """
    wanted: dict[str, list[tuple[PurePosixPath, int]]] = defaultdict(list)
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            inside = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if not any(inside.is_relative_to(folder) for folder in _KEPT):
                continue
            if member.isfile() or member.islnk():
                source = member.linkname if member.islnk() else member.name
                wanted[source].append((inside, member.mode))
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            places = wanted.pop(member.name, [])
            content = tar.extractfile(member) if places and member.isfile() else None
            if content is None:
                continue
            first = target / places[0][0]
            first.parent.mkdir(parents=True, exist_ok=True)
            with first.open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
            first.chmod(places[0][1])
            for place, _ in places[1:]:
                (target / place).parent.mkdir(parents=True, exist_ok=True)
                os.link(first, target / place)
    if wanted:
        raise tarfile.ExtractError(f"{archive.name} misses {next(iter(wanted))}")
