"""A Flink cluster, the local one or any other, through its REST interface."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import SecretStr

from connectors.errors import TicklakeError, UnavailableError
from flink_jobs import state
from flink_jobs.job import Bounds
from flink_jobs.rewind import require_newest
from flink_jobs.run import job
from flink_jobs.settings import JobSettings

_SAVEPOINT_SECONDS = 300.0
_ENDED = {"FINISHED", "CANCELED", "FAILED"}


@dataclass(frozen=True)
class ClusterJob:
    """A job as the cluster knows it; `started` is epoch milliseconds."""

    id: str
    name: str
    state: str
    started: int
    duration_ms: int

    @property
    def ended(self) -> bool:
        """Whether it is over, for whatever reason."""
        return self.state in _ENDED


class Cluster:
    """The JobManager behind `settings.flink.rest_address`."""

    def __init__(self, settings: JobSettings) -> None:
        """Nothing is asked yet."""
        self._settings = settings
        self._address = settings.flink.rest_address

    def jobs(self) -> list[ClusterJob]:
        """All jobs that the cluster remembers, the newest first."""
        found = [
            ClusterJob(j["jid"], j["name"], j["state"], j["start-time"], j["duration"])
            for j in self._call("GET", "/jobs/overview")["jobs"]
        ]
        return sorted(found, key=lambda j: -j.started)

    def running(self, name: str) -> ClusterJob:
        """The job of that name that has not ended.

        Raises:
            TicklakeError: none has that name.
        """
        alive = [j for j in self.jobs() if not j.ended]
        for found in alive:
            if found.name == name:
                return found
        names = ", ".join(j.name for j in alive) or "none"
        raise TicklakeError(f"no job {name} runs; running are: {names}")

    def submit(
        self,
        name: str,
        client: Mapping[str, str],
        savepoint: str | None = None,
        *,
        resume: bool = True,
        rewind: bool = False,
    ) -> ClusterJob:
        """Submit a job and wait until all of it runs.

        Args:
            name: one of `flink_jobs.run.jobs()`.
            client: environment of Flink's client: FLINK_HOME, FLINK_LIB_DIR and so on.
            savepoint: URI of a savepoint or retained checkpoint to resume from.
            resume: without a savepoint, go on from the job's newest state if it has any. A start
                from nothing reads the topics again, and what is stored is stored twice.
            rewind: start from the savepoint even if the lake has commits behind it.

        Raises:
            TicklakeError: it runs already, there is no such job, the plan is refused, or the lake
                has commits behind the savepoint.
            UnavailableError: the cluster does not answer, or has no free slot.
        """
        job(name)
        if any(j.name == name and not j.ended for j in self.jobs()):
            raise TicklakeError(f"job {name} runs already; stop it first: ticklake stop {name}")
        if savepoint is None and resume:
            savepoint = state.newest(self._settings.flink, name)
        elif savepoint is not None and not rewind:
            require_newest(self._settings, name, savepoint)
        self._hand_over(name, client, ["--from-savepoint", savepoint] if savepoint else [])
        return self._await_running(self.running(name))

    def run(
        self,
        name: str,
        bounds: Bounds,
        client: Mapping[str, str],
        progress: Callable[[], object],
        patience_seconds: float = 120,
    ) -> ClusterJob:
        """Run a job over a piece of one topic, to its end.

        Args:
            name: one of `flink_jobs.run.jobs()`.
            bounds: the piece.
            client: environment of Flink's client, as for `submit`.
            progress: whatever changes while it gets on.
            patience_seconds: how long it may stand still before it is cancelled.

        Raises:
            TicklakeError: one runs already, the plan is refused, or the job failed.
            UnavailableError: the cluster does not answer, or the job got no farther.
        """
        own = job(name).bounded(bounds).name
        if any(j.name == own and not j.ended for j in self.jobs()):
            raise TicklakeError(f"job {own} runs already; wait for its end, or cancel it")
        found = self.by_id(self._hand_over(name, client, ["--bounds", bounds.text()]))
        mark: object = None
        deadline = time.monotonic() + patience_seconds
        try:
            while not found.ended:
                if (now := (found.state, progress())) != mark:
                    mark, deadline = now, time.monotonic() + patience_seconds
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"job {own} got no farther for {patience_seconds:.0f} s: no free slot? It "
                        "needs one beside the other jobs; see local.task_slots or the web page"
                    )
                time.sleep(0.5)
                found = self.by_id(found.id)
        finally:
            if not found.ended:
                self._call("PATCH", f"/jobs/{found.id}?mode=cancel")
        if found.state != "FINISHED":
            raise TicklakeError(f"job {own} ended as {found.state}: {self._fault(found)}")
        return found

    def by_id(self, identifier: str) -> ClusterJob:
        """The job of that id, as it is now.

        Raises:
            TicklakeError: the cluster does not know it.
        """
        one = self._call("GET", f"/jobs/{identifier}")
        return ClusterJob(one["jid"], one["name"], one["state"], one["start-time"], one["duration"])

    def newest_checkpoint(self, found: ClusterJob) -> int:
        """Number of the job's newest completed checkpoint; 0 before the first."""
        newest = self._call("GET", f"/jobs/{found.id}/checkpoints")["latest"]["completed"]
        return int(newest["id"]) if newest else 0

    def await_checkpoint(
        self, found: ClusterJob, behind: int, patience_seconds: float = 120
    ) -> None:
        """Wait until the job has completed a checkpoint behind that number.

        The commits of a checkpoint may be under way when it is complete; by the next one they are
        done, in every table.

        Raises:
            UnavailableError: the job ended, or no checkpoint came.
        """
        deadline = time.monotonic() + patience_seconds
        while self.newest_checkpoint(found) <= behind:
            if self.by_id(found.id).ended or time.monotonic() > deadline:
                raise UnavailableError(
                    f"job {found.name} completed no checkpoint for {patience_seconds:.0f} s, so it "
                    "is not known what it has stored; see `ticklake jobs`"
                )
            time.sleep(0.3)

    def _hand_over(self, name: str, client: Mapping[str, str], options: list[str]) -> str:
        """Have a client plan the job and submit it; the job's id."""
        done = subprocess.run(  # noqa: S603 - our own module, the name is checked by the caller
            [sys.executable, "-m", "flink_jobs.run", name, *options],
            env=self.environment(client),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise TicklakeError(f"job {name} was refused: {_cause(done.stderr + done.stdout)}")
        return done.stdout.split()[-1]

    def _fault(self, found: ClusterJob) -> str:
        return _cause(self._call("GET", f"/jobs/{found.id}/exceptions").get("root-exception") or "")

    def stop(self, name: str, *, savepoint: bool) -> str | None:
        """Stop the running job; with a savepoint, give its URI, else None.

        Either way what was read is committed or read again, for offsets are part of the state.
        """
        found = self.running(name)
        if not savepoint:
            self._call("PATCH", f"/jobs/{found.id}?mode=cancel")
            return None
        target = state.savepoints(self._settings.flink, name)
        trigger = self._call(
            "POST", f"/jobs/{found.id}/stop", {"drain": False, "targetDirectory": target}
        )["request-id"]
        deadline = time.monotonic() + _SAVEPOINT_SECONDS
        while True:
            answer = self._call("GET", f"/jobs/{found.id}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                break
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the savepoint of {name} is not done after {_SAVEPOINT_SECONDS:.0f} s; "
                    "the cluster's web page shows how far it is"
                )
            time.sleep(0.2)
        operation = answer["operation"]
        if "failure-cause" in operation:
            cause = operation["failure-cause"]["stack-trace"].strip().splitlines()[-1]
            raise TicklakeError(f"the savepoint of {name} failed: {cause}")
        return str(operation["location"])

    def metric_of_job(self, found: ClusterJob, name: str) -> int:
        """A whole-job metric such as numRestarts."""
        rows = self._call("GET", f"/jobs/{found.id}/metrics?get={name}")
        return int(float(rows[0]["value"]))

    def _await_running(self, found: ClusterJob, seconds: float = 60) -> ClusterJob:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            detail = self._call("GET", f"/jobs/{found.id}")
            states = {v["status"] for v in detail["vertices"]}
            if detail["state"] in _ENDED or detail["state"] == "RESTARTING":
                raise TicklakeError(f"job {found.name} failed at once: {self._fault(found)}")
            if states == {"RUNNING"}:
                return self.running(found.name)
            time.sleep(0.2)
        raise UnavailableError(
            f"job {found.name} did not start within {seconds:.0f} s: no free slot? The cluster "
            "needs one slot a job; see local.task_slots or the cluster's web page"
        )

    def environment(self, client: Mapping[str, str]) -> dict[str, str]:
        """The environment of a job's client: the settings too, for an argument shows a password."""
        given = dict(client)
        for part in ("kafka", "catalog", "flink"):
            for key, value in getattr(self._settings, part):
                plain = value.get_secret_value() if isinstance(value, SecretStr) else value
                given[f"TICKLAKE_{part.upper()}__{key.upper()}"] = str(plain)
        return os.environ | given

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        try:
            answer = httpx2.request(method, f"http://{self._address}{path}", json=body, timeout=30)
        except httpx2.TransportError as error:
            raise UnavailableError(
                f"Flink does not answer at {self._address} ({error}); start the local stack "
                "by `ticklake up`, or set TICKLAKE_FLINK__REST_ADDRESS"
            ) from error
        if answer.is_error:
            raise TicklakeError(f"Flink refused {method} {path}: {answer.text[:300]}")
        return answer.json()


def _cause(text: str) -> str:
    """The innermost cause in a Java stack trace, or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    plain = [line for line in lines if not line.startswith("at ")]
    chosen = causes[-1] if causes else (plain or ["no reason given"])[-1]
    return chosen.removeprefix("Caused by: ")[:500]
