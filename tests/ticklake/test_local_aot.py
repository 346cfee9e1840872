"""Caches for a faster start are shared by homes, and only whole ones are kept."""

from pathlib import Path

import pytest

from ticklake.local import aot
from ticklake.settings import LocalSettings

WRITES = "-XX:AOTCacheOutput="
READS = "-XX:AOTCache="


@pytest.fixture
def local(tmp_path: Path) -> LocalSettings:
    """Settings with a cache of their own."""
    return LocalSettings(home=tmp_path / "home", cache=tmp_path / "cache")


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    """A file to stand for a class path."""
    file = tmp_path / "a.jar"
    file.write_text("classes")
    return file


def written(local: LocalSettings, jar: Path) -> Path:
    """What a first run leaves when it is stopped."""
    (output,) = [w for w in aot.options(local, "thing", [jar], []) if w.startswith(WRITES)]
    file = Path(output.removeprefix(WRITES))
    file.write_text("cache")
    return file


def test_the_first_stop_makes_it_and_every_home_reads_it(local: LocalSettings, jar: Path) -> None:
    """Two homes write to two files, so that neither spoils the other's."""
    other = local.model_copy(update={"home": local.home / "other"})
    first, second = written(local, jar), written(other, jar)
    assert first != second
    aot.settle(first, whole=True)
    options = aot.options(other, "thing", [jar], [])
    assert [w for w in options if w.startswith(READS)]
    assert second.exists()


def test_a_cut_off_cache_is_removed(local: LocalSettings, jar: Path) -> None:
    """The server was killed while it wrote."""
    output = written(local, jar)
    aot.settle(output, whole=False)
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize("change", ["jar", "flags"])
def test_other_jars_or_options_make_another_cache(
    local: LocalSettings, jar: Path, change: str
) -> None:
    """The outdated one goes when the new one is there."""
    aot.settle(written(local, jar), whole=True)
    flags = ["-XX:+UseSerialGC"] if change == "flags" else []
    if change == "jar":
        jar.write_text("other classes")
    options = aot.options(local, "thing", [jar], flags)
    (output,) = [w.removeprefix(WRITES) for w in options if w.startswith(WRITES)]
    Path(output).write_text("cache")
    aot.settle(Path(output), whole=True)
    assert len(list(Path(output).parent.iterdir())) == 1


def test_a_cache_can_be_dropped_or_switched_off(local: LocalSettings, jar: Path) -> None:
    """The way out of a damaged one, and of the whole thing."""
    aot.settle(written(local, jar), whole=True)
    assert aot.drop(aot.options(local, "thing", [jar], []))
    assert not aot.drop(aot.options(local, "thing", [jar], []))
    assert aot.options(local.model_copy(update={"fast_start": False}), "thing", [jar], []) == ()
