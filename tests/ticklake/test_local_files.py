"""What is unpacked, linked, compiled and generated before a server starts."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from connectors.errors import TicklakeError
from ticklake.local import flink, jars, java, postgres, trino
from ticklake.settings import LocalSettings, Settings, load, password_file


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with an empty home and the shared cache."""
    return load(local=LocalSettings(home=tmp_path / "home"))


def add(tar: tarfile.TarFile, name: str, content: bytes | None = None, link: str = "") -> None:
    """Add a file, or a hard link to one."""
    member = tarfile.TarInfo(f"trino-server-1/{name}")
    if content is None:
        member.type, member.linkname = tarfile.LNKTYPE, f"trino-server-1/{link}"
        tar.addfile(member)
    else:
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def test_hard_links_between_plugins_are_followed(tmp_path: Path) -> None:
    """A kept name gets the content even if its target is not kept."""
    archive = tmp_path / "trino.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        add(tar, "lib/shared.jar", b"shared")
        add(tar, "plugin/delta-lake/parquet.jar", b"parquet")
        add(tar, "plugin/hive/own.jar", b"own")
        add(tar, "plugin/iceberg/shared.jar", link="lib/shared.jar")
        add(tar, "plugin/iceberg/parquet.jar", link="plugin/delta-lake/parquet.jar")
        add(tar, "plugin/iceberg/hdfs/parquet.jar", link="plugin/delta-lake/parquet.jar")
        add(tar, "plugin/iceberg-not/x.jar", b"x")
    trino.unpack(archive, tmp_path / "out")
    found = {
        f.relative_to(tmp_path / "out").as_posix(): f.read_bytes()
        for f in (tmp_path / "out").rglob("*.jar")
    }
    assert found == {
        "lib/shared.jar": b"shared",
        "plugin/iceberg/shared.jar": b"shared",
        "plugin/iceberg/parquet.jar": b"parquet",
        "plugin/iceberg/hdfs/parquet.jar": b"parquet",
    }


def test_the_password_is_made_once_and_private(settings: Settings) -> None:
    """Nobody else reads it, and a second start keeps it."""
    first = postgres.ensure_password(settings.local)
    assert postgres.ensure_password(settings.local) == first
    assert len(first) >= 32
    file = password_file(settings.local)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """One class and one resource."""
    root = tmp_path / "src"
    (root / "some").mkdir(parents=True)
    (root / "some" / "Thing.java").write_text("package some; public record Thing(String name) { }")
    (root / "META-INF" / "services").mkdir(parents=True)
    (root / "META-INF" / "services" / "some.Service").write_text("some.Thing\n")
    return root


@pytest.fixture
def compiler(settings: Settings) -> list[Path]:
    """Eclipse's compiler, from the shared cache."""
    return jars.ensure(settings.local, "compiler")["compiler"]


def test_the_same_sources_give_the_same_jar(
    tmp_path: Path, sources: Path, compiler: list[Path]
) -> None:
    """Classes and resources, byte for byte."""
    one = java.build_jar(sources, [], tmp_path / "one.jar", compiler=compiler)
    two = java.build_jar(sources, [], tmp_path / "two.jar", compiler=compiler)
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as jar:
        assert jar.namelist() == ["META-INF/services/some.Service", "some/Thing.class"]
    assert {f.name for f in tmp_path.iterdir()} == {"src", "one.jar", "two.jar"}


def test_java_that_does_not_compile_is_quoted(
    tmp_path: Path, sources: Path, compiler: list[Path]
) -> None:
    """The compiler's first error is the message; no jar is left."""
    (sources / "some" / "Thing.java").write_text("package some; class Thing { Missing x; }")
    with pytest.raises(TicklakeError, match="Missing cannot be resolved to a type"):
        java.build_jar(sources, [], tmp_path / "one.jar", compiler=compiler)
    assert not (tmp_path / "one.jar").exists()


def test_the_fingerprint_follows_sources_resources_and_jars(sources: Path) -> None:
    """Each of them makes another jar."""
    seen = {java.fingerprint(sources, [])}
    seen.add(java.fingerprint(sources, [Path("a.jar")]))
    (sources / "META-INF" / "services" / "some.Service").write_text("other\n")
    seen.add(java.fingerprint(sources, []))
    assert len(seen) == 3


def test_flink_gets_its_own_folders_and_the_wheel_stays_as_it_is(
    settings: Settings, tmp_path: Path
) -> None:
    """A jar that is no longer wanted leaves the lib folder."""
    before = sorted(flink.flink_home().rglob("*"))
    extra = tmp_path / "extra.jar"
    extra.touch()
    flink.write_files(settings, [extra])
    lib = flink.lib_dir(settings.local)
    names = {jar.name for jar in lib.iterdir()}
    assert {"extra.jar", "flink-dist-2.1.3.jar", "postgresql-42.7.14.jar"} <= names
    flink.write_files(settings)
    assert "extra.jar" not in {jar.name for jar in lib.iterdir()}
    assert sorted(flink.flink_home().rglob("*")) == before
    environment = flink.client_environment(settings)
    assert environment["FLINK_CONF_DIR"] == str(flink.conf_dir(settings.local))


def test_no_secret_lies_in_a_configuration_file(settings: Settings, tmp_path: Path) -> None:
    """The password is in its own file only."""
    password = postgres.ensure_password(settings.local)
    flink.write_files(settings)
    trino.write_files(settings)
    for file in (tmp_path / "home").rglob("*"):
        if file.is_file() and not file.is_symlink() and file != password_file(settings.local):
            assert password.encode() not in file.read_bytes(), file
