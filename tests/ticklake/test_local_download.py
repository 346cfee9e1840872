"""Files come whole or not at all: resumed, hashed, and a broken cache is noticed."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.errors import TicklakeError, UnavailableError
from ticklake.local import jars
from ticklake.local.download import fetch_all
from ticklake.local.jars import Jar
from ticklake.settings import LocalSettings

CONTENT = bytes(range(256)) * 4096


@dataclass
class Repository:
    """A repository that can break off, forget ranges or serve something else."""

    url: str = ""
    content: bytes = CONTENT
    break_after: int | None = None
    knows_ranges: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def repository() -> Iterator[Repository]:
    """The repository, on a free loopback port."""
    state = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if state.status != 200:
                self.send_error(state.status)
                return
            begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            begin = begin if state.knows_ranges else 0
            body = state.content[begin:]
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.break_after is not None:
                body, state.break_after = body[: state.break_after], None
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def the_jar(content: bytes = CONTENT) -> Jar:
    """A locked file with this content."""
    return Jar("some.group:thing:1.0", hashlib.sha256(content).hexdigest(), len(content))


def test_a_jar_lies_where_maven_puts_it() -> None:
    """The cache has a repository's own layout."""
    assert Jar("a.b:c:1", "", 0, "tar.gz").path == "a/b/c/1/c-1.tar.gz"


def test_fetch(repository: Repository, tmp_path: Path) -> None:
    """A whole file is left, and nothing beside it."""
    target = tmp_path / "deep" / "thing.jar"
    fetch_all(repository.url, [(the_jar(), target)])
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_a_broken_connection_is_resumed(repository: Repository, tmp_path: Path) -> None:
    """The second request asks only for the rest."""
    repository.break_after = 300_000
    target = tmp_path / "thing.jar"
    fetch_all(repository.url, [(the_jar(), target)])
    assert target.read_bytes() == CONTENT
    assert repository.asked[0] is None
    assert repository.asked[1] is not None


def test_a_part_of_an_earlier_run_is_resumed(repository: Repository, tmp_path: Path) -> None:
    """What a killed command left is used."""
    target = tmp_path / "thing.jar"
    target.with_name("thing.jar.part").write_bytes(CONTENT[:1000])
    fetch_all(repository.url, [(the_jar(), target)])
    assert repository.asked == ["bytes=1000-"]
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(repository: Repository, tmp_path: Path) -> None:
    """A whole answer to a request for the rest replaces the part."""
    repository.knows_ranges = False
    target = tmp_path / "thing.jar"
    target.with_name("thing.jar.part").write_bytes(b"x" * 1000)
    fetch_all(repository.url, [(the_jar(), target)])
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_too_long_starts_over(repository: Repository, tmp_path: Path) -> None:
    """It cannot be the beginning of the file."""
    target = tmp_path / "thing.jar"
    target.with_name("thing.jar.part").write_bytes(CONTENT + b"x")
    fetch_all(repository.url, [(the_jar(), target)])
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT + b"!"], ids=["other", "longer"])
def test_other_content_is_refused_and_deleted(
    repository: Repository, tmp_path: Path, content: bytes
) -> None:
    """One line names the file; a second run starts clean."""
    repository.content = content
    target = tmp_path / "thing.jar"
    with pytest.raises(TicklakeError, match=r"thing-1\.0\.jar .* is not the locked file"):
        fetch_all(repository.url, [(the_jar(), target)])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_not_tried_again(repository: Repository, tmp_path: Path) -> None:
    """Only what may pass is tried again."""
    repository.status = 404
    with pytest.raises(UnavailableError, match="HTTP 404"):
        fetch_all(repository.url, [(the_jar(), tmp_path / "thing.jar")])
    assert len(repository.asked) == 1


@pytest.fixture
def local(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSettings:
    """Settings whose lock knows one jar."""
    monkeypatch.setattr(jars, "locked", lambda _: {"one": (the_jar(),)})
    return LocalSettings(home=tmp_path / "home", cache=tmp_path, maven_url=repository.url)


def test_what_is_here_is_not_fetched_again(local: LocalSettings, repository: Repository) -> None:
    """The second call sends no request."""
    (first,) = jars.ensure(local, "one")["one"]
    assert jars.ensure(local, "one") == {"one": [first]}
    assert len(repository.asked) == 1


@pytest.mark.parametrize("change", [b"", CONTENT[:-1], CONTENT[:-1] + b"!"])
def test_a_broken_cache_is_fetched_again(
    local: LocalSettings, repository: Repository, change: bytes
) -> None:
    """Empty, cut off or changed: each is noticed."""
    (file,) = jars.ensure(local, "one")["one"]
    file.write_bytes(change)
    assert jars.ensure(local, "one")["one"][0].read_bytes() == CONTENT
    assert len(repository.asked) == 2


def test_a_file_from_elsewhere_is_hashed_once(
    local: LocalSettings, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copied cache is trusted only after a look."""
    file = jars.location(local, the_jar())
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    jars.ensure(local, "one")
    monkeypatch.setattr(jars, "digest", lambda _: pytest.fail("hashed again"))
    jars.ensure(local, "one")
    assert repository.asked == []


def test_too_little_disk_is_said_before_it_starts(
    local: LocalSettings, repository: Repository
) -> None:
    """The message says how much is needed where."""
    with pytest.raises(TicklakeError, match=r"need 9000\.2 GB in"):
        jars.require_space(local.cache / "not" / "there", 9_000_000_000_000, "jars")
    assert repository.asked == []


def test_the_lock_is_whole_and_names_no_host() -> None:
    """Addresses come from settings, never from a committed file."""
    groups = jars.locked()
    assert set(groups) == {"kafka", "flink", "compiler", "trino", "rest"}
    found = [jar for group in groups.values() for jar in group]
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in found)
    assert "://" not in jars.LOCK_FILE.read_text()
