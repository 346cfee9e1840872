"""Fetch files over HTTP: resumed where they broke off, hashed, moved into place whole."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

import httpx2
import stamina

from connectors.errors import TicklakeError, UnavailableError
from ticklake.console import Transfers, transfers

_PARALLEL = 4
_ATTEMPTS = 6
_CHUNK = 1 << 18
_RETRIED_STATUS = frozenset({408, 416, 425, 429, 500, 502, 503, 504})


class Wanted(Protocol):
    """What has to be known of a file before it is fetched."""

    @property
    def path(self) -> str:
        """Its place below the repository's root."""

    @property
    def name(self) -> str:
        """Its own name."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    @property
    def sha256(self) -> str:
        """The only content that is accepted."""


def fetch_all(base_url: str, files: Sequence[tuple[Wanted, Path]]) -> None:
    """Fetch each file to its target, a few at a time.

    Raises:
        UnavailableError: the repository does not answer, or not with the file.
        TicklakeError: a file's content is not the expected one.
    """
    given_up = Event()
    with (
        httpx2.Client(follow_redirects=True, timeout=httpx2.Timeout(30)) as client,
        transfers() as shown,
        ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch") as pool,
    ):
        jobs = [
            pool.submit(
                _Transfer(
                    item, f"{base_url.rstrip('/')}/{item.path}", target, client, shown, given_up
                ).run
            )
            for item, target in files
        ]
        try:
            for job in jobs:
                job.result()
        except BaseException:  # Ctrl-C too: do not wait for what is under way
            given_up.set()
            pool.shutdown(cancel_futures=True)
            raise


@dataclass(frozen=True)
class _Transfer:
    item: Wanted
    url: str
    target: Path
    client: httpx2.Client
    shown: Transfers
    given_up: Event

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    def run(self) -> None:
        item, part = self.item, self.part
        part.parent.mkdir(parents=True, exist_ok=True)
        if self.received() > item.size:
            part.unlink()
        handle = self.shown.begin(item.name, item.size, self.received())
        try:
            for attempt in stamina.retry_context(
                on=self.worth_another_try, attempts=_ATTEMPTS, timeout=None
            ):
                with attempt:
                    self.receive(handle)
        except httpx2.HTTPError as error:
            raise UnavailableError(
                f"cannot fetch {item.name} from {self.url}: {_reason(error)}; run the command "
                f"again to go on from {self.received() / 1e6:.1f} of {item.size / 1e6:.1f} MB, or "
                "set TICKLAKE_LOCAL__MAVEN_URL to a mirror that you reach"
            ) from error
        if self.given_up.is_set():
            return  # the part stays, to go on from
        found = digest(part)
        if found != item.sha256:
            part.unlink()
            raise TicklakeError(
                f"{item.name} from {self.url} is not the locked file (sha256 {found[:12]}…, "
                f"expected {item.sha256[:12]}…); it was deleted, run the command again or use "
                "another mirror"
            )
        part.replace(self.target)
        self.shown.finish(handle)

    def received(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def receive(self, handle: int) -> None:
        have = self.received()
        if have == self.item.size:
            return
        # identity: a re-compressed answer would have other bytes and no usable ranges
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with self.client.stream("GET", self.url, headers=headers) as answer:
            if answer.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
                self.part.unlink()
                self.shown.advance(handle, -have)
            answer.raise_for_status()
            resumed = answer.status_code == httpx2.codes.PARTIAL_CONTENT
            if have and not resumed:
                self.shown.advance(handle, -have)
                have = 0
            with self.part.open("ab" if resumed else "wb") as file:
                for chunk in answer.iter_bytes(_CHUNK):
                    if self.given_up.is_set():
                        return
                    file.write(chunk)
                    have += len(chunk)
                    self.shown.advance(handle, len(chunk))
                    if have > self.item.size:
                        return  # not the file that is wanted: its hash will say so
        if have < self.item.size:
            raise httpx2.ReadError(f"the connection ended after {have} of {self.item.size} bytes")

    def worth_another_try(self, error: Exception) -> bool:
        if self.given_up.is_set():
            return False
        if isinstance(error, httpx2.HTTPStatusError):
            return error.response.status_code in _RETRIED_STATUS
        return isinstance(error, httpx2.TransportError)


def _reason(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return str(error) or type(error).__name__


def digest(file: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
