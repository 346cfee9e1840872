"""Fetch files over HTTP: resumed where they broke off, hashed, moved into place whole."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
    with (
        httpx2.Client(follow_redirects=True, timeout=httpx2.Timeout(30)) as client,
        transfers() as shown,
        ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch") as pool,
    ):
        jobs = [
            pool.submit(_fetch, client, f"{base_url.rstrip('/')}/{item.path}", item, target, shown)
            for item, target in files
        ]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(
    client: httpx2.Client, url: str, item: Wanted, target: Path, shown: Transfers
) -> None:
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    if part.exists() and part.stat().st_size > item.size:
        part.unlink()
    handle = shown.begin(item.name, item.size, part.stat().st_size if part.exists() else 0)
    try:
        for attempt in stamina.retry_context(on=_worth_another_try, attempts=_ATTEMPTS):
            with attempt:
                _receive(client, url, item, part, shown, handle)
    except httpx2.HTTPError as error:
        kept = part.stat().st_size if part.exists() else 0
        raise UnavailableError(
            f"cannot fetch {item.name} from {url}: {_reason(error)}; run the command again to go "
            f"on from {kept / 1e6:.1f} of {item.size / 1e6:.1f} MB, or set "
            "TICKLAKE_LOCAL__MAVEN_URL to a mirror that you reach"
        ) from error
    found = digest(part)
    if found != item.sha256:
        part.unlink()
        raise TicklakeError(
            f"{item.name} from {url} is not the locked file (sha256 {found[:12]}…, expected "
            f"{item.sha256[:12]}…); it was deleted, run the command again or use another mirror"
        )
    part.replace(target)
    shown.finish(handle)


def _receive(  # noqa: PLR0913 - one transfer has that many facts
    client: httpx2.Client, url: str, item: Wanted, part: Path, shown: Transfers, handle: int
) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have == item.size:
        return
    # identity: a re-compressed answer would have other bytes and no usable ranges
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx2.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            shown.advance(handle, -have)
            part.unlink()
        answer.raise_for_status()
        resumed = answer.status_code == httpx2.codes.PARTIAL_CONTENT
        if have and not resumed:
            shown.advance(handle, -have)
            have = 0
        with part.open("ab" if resumed else "wb") as file:
            for chunk in answer.iter_bytes(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                shown.advance(handle, len(chunk))
                if have > item.size:
                    break  # not the file that is wanted; the hash will say so
    if have < item.size:
        raise httpx2.ReadError(f"the connection ended after {have} of {item.size} bytes")


def _worth_another_try(error: Exception) -> bool:
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
