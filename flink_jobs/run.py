"""Entry point of a job: builds the plan and hands it to the cluster.

On the local stack `ticklake submit JOB` runs it; on any other cluster, with the settings in the
environment: `flink run -py flink_jobs/run.py JOB`.
"""

import argparse
import importlib
import pkgutil
from pathlib import Path

import flink_jobs
from connectors.errors import TicklakeError
from flink_jobs import state
from flink_jobs.job import Job
from flink_jobs.settings import JobSettings


def jobs() -> dict[str, Job]:
    """All jobs by name: each .sql of this folder that has a .py beside it."""
    folder = Path(__file__).parent
    names = [m.name for m in pkgutil.iter_modules(flink_jobs.__path__)]
    return {
        name: importlib.import_module(f"flink_jobs.{name}").JOB
        for name in names
        if (folder / f"{name}.sql").is_file()
    }


def job(name: str) -> Job:
    """The job of that name.

    Raises:
        TicklakeError: there is none.
    """
    known = jobs()
    if name not in known:
        raise TicklakeError(f"no job is called {name}; the jobs are {', '.join(known)}")
    return known[name]


def configuration(of: Job, settings: JobSettings) -> dict[str, str]:
    """Flink's options for a job; the reasons stand in docs/decisions.md."""
    flink = settings.flink
    interval = f"{int(flink.checkpoint_seconds * 1000)} ms"
    return {
        "pipeline.name": of.name,
        "pipeline.object-reuse": "true",
        "parallelism.default": str(flink.parallelism),
        "table.local-time-zone": "UTC",
        # Without this the planner reads the topic once for every sink.
        "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
        "table.exec.sink.not-null-enforcer": "error",
        # V2 drops commits after a stateless restart under one job id; V1 needs aligned checkpoints.
        "table.exec.iceberg.use-v2-sink": "false",
        "execution.checkpointing.unaligned.enabled": "false",
        "execution.checkpointing.interval": interval,
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.tolerable-failed-checkpoints": "3",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.dir": state.checkpoints(flink, of.name),
        "execution.checkpointing.savepoint-dir": state.savepoints(flink, of.name),
        "state.backend.type": "rocksdb",
    }


def main() -> None:
    """Run one job; the statement set is submitted and the process ends."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("job", choices=sorted(jobs()))
    arguments.add_argument("--from-savepoint", help="URI of a savepoint or retained checkpoint")
    arguments.add_argument("--explain", action="store_true", help="print the plan, submit nothing")
    given = arguments.parse_args()
    submit(job(given.job), JobSettings(), given.from_savepoint, explain=given.explain)


def submit(
    of: Job, settings: JobSettings, savepoint: str | None = None, *, explain: bool = False
) -> None:
    """Plan a job and hand it to the cluster, or print its plan.

    Args:
        of: the job.
        settings: the servers and the cluster.
        savepoint: URI of a savepoint or retained checkpoint to go on from.
        explain: print the plan, submit nothing.
    """
    from pyflink.table import EnvironmentSettings, ExplainDetail, TableEnvironment  # noqa: PLC0415 - starts a JVM

    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    options = configuration(of, settings)
    if settings.flink.rest_address:
        host, port = settings.flink.rest_address.rsplit(":", 1)
        options |= {"execution.target": "remote", "rest.address": host, "rest.port": port}
    if savepoint:
        options["execution.state-recovery.path"] = savepoint
    for key, value in options.items():
        environment.get_config().set(key, value)
    together = environment.create_statement_set()
    for statement in of.statements(settings):
        if statement.startswith("INSERT"):
            together.add_insert_sql(statement)
        else:
            environment.execute_sql(statement)
    if explain:
        print(together.explain(ExplainDetail.CHANGELOG_MODE))  # noqa: T201 - the result
        return
    result = together.execute()
    client = result.get_job_client()
    print(client.get_job_id() if client else "submitted")  # noqa: T201 - the result


if __name__ == "__main__":
    main()
