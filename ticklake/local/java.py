"""Compile our own Java for Flink with Eclipse's compiler: a JRE is all that is installed."""

import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import flink_jobs
from connectors.errors import TicklakeError
from ticklake.local import jars, jvm
from ticklake.local.flink import flink_home
from ticklake.settings import Settings

# what Flink 2.1 itself runs on at least: the jar serves clusters older than the local one
_RELEASE = "17"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def flink_extension_jar(settings: Settings) -> Path | None:
    """The jar of everything under `flink_jobs/java/src`; None if there are no sources."""
    sources = Path(flink_jobs.__file__).parent / "java" / "src"
    if not any(sources.rglob("*.java")):
        return None
    local = settings.local
    connectors = jars.ensure(local, "flink")["flink"]
    classpath = [*sorted((flink_home() / "lib").glob("*.jar")), *connectors]
    mark = fingerprint(sources, classpath)
    target = local.cache.expanduser().resolve() / f"ticklake-flink-{mark}.jar"
    return build_jar(
        sources, classpath, target, compiler=jars.ensure(local, "compiler")["compiler"]
    )


def fingerprint(sources: Path, classpath: Iterable[Path]) -> str:
    """Changes with any source or resource, and with any jar compiled against."""
    mark = hashlib.sha256(_RELEASE.encode())
    for file in _files(sources):
        mark.update(file.relative_to(sources).as_posix().encode() + b"\0")
        mark.update(hashlib.sha256(file.read_bytes()).digest())
    for jar in classpath:
        mark.update(jar.name.encode() + b"\0")
    return mark.hexdigest()[:16]


def build_jar(
    sources: Path, classpath: Sequence[Path], target: Path, *, compiler: Sequence[Path]
) -> Path:
    """Compile every *.java below `sources` and pack it, with all other files as resources.

    Args:
        sources: the root of the packages.
        classpath: jars that the sources use.
        target: the jar to write; one that exists is returned as it is, so its name should hold
            the `fingerprint`.
        compiler: the jars of Eclipse's compiler.

    Returns:
        `target`. The same sources give the same bytes.

    Raises:
        TicklakeError: the sources do not compile; the message quotes the first error.
    """
    if target.is_file():
        return target
    files = _files(sources)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        classes = Path(folder) / "classes"
        classes.mkdir()
        _compile([f for f in files if f.suffix == ".java"], classpath, classes, compiler)
        entries = {f.relative_to(sources).as_posix(): f for f in files if f.suffix != ".java"} | {
            f.relative_to(classes).as_posix(): f for f in _files(classes)
        }
        packed = Path(folder) / "packed.jar"
        _pack(entries, packed)
        packed.replace(target)
    return target


def _compile(
    sources: Sequence[Path], classpath: Sequence[Path], classes: Path, compiler: Sequence[Path]
) -> None:
    result = subprocess.run(  # noqa: S603 - our own arguments
        [
            jvm.java(),
            *jvm.QUIET,
            "-XX:TieredStopAtLevel=1",
            "-cp",
            jvm.classpath(list(compiler)),
            "org.eclipse.jdt.internal.compiler.batch.Main",
            # not --release: a JRE has no record of what older class libraries offered
            "-source",
            _RELEASE,
            "-target",
            _RELEASE,
            "-encoding",
            "UTF-8",
            "-g",
            "-nowarn",
            "-proc:none",
            "-cp",
            jvm.classpath(list(classpath)),
            "-d",
            str(classes),
            *map(str, sources),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        said = [line.strip() for line in (result.stderr + result.stdout).splitlines()]
        errors = [n for n, line in enumerate(said) if "ERROR in" in line]
        first = " ".join(said[errors[0] : errors[0] + 4]) if errors else " ".join(said[:3])
        raise TicklakeError(f"the Java for Flink does not compile: {first}")


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _pack(entries: dict[str, Path], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as jar:
        for name, file in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            jar.writestr(entry, file.read_bytes())
