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
from flink_jobs.job import Bounds, Job
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
    restarts = {
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        # Flink's minute, kept for an hour, would make fresh data wait for it at each later fault.
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "2 min",
    }
    # A piece that fails is read again from nothing by the next replay; three attempts are enough.
    attempts = {
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": "2",
        "restart-strategy.fixed-delay.delay": "2 s",
    }
    interval = f"{int(flink.checkpoint_seconds * 1000)} ms"
    return {
        "pipeline.name": of.name,
        "pipeline.object-reuse": "true",
        # Iceberg's committer allows one task: in a chain with others its state would get their
        # limit, and would not fit when another parallelism breaks the chain.
        "pipeline.operator-chaining.chain-operators-with-different-max-parallelism": "false",
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
        **(attempts if of.bounds else restarts),
    }


def main() -> None:
    """Run one job; the statement set is submitted and the process ends."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("job", choices=sorted(jobs()))
    arguments.add_argument("--from-savepoint", help="URI of a savepoint or retained checkpoint")
    arguments.add_argument("--explain", action="store_true", help="print the plan, submit nothing")
    arguments.add_argument("--bounds", help="read just this piece, and end (Bounds.text)")
    given = arguments.parse_args()
    chosen = job(given.job)
    if given.bounds:
        chosen = chosen.bounded(Bounds.parse(given.bounds))
    submit(chosen, JobSettings(), given.from_savepoint, explain=given.explain)


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
    from pyflink.common import Configuration  # noqa: PLC0415 - starts a JVM
    from pyflink.datastream import StreamExecutionEnvironment  # noqa: PLC0415 - the same
    from pyflink.java_gateway import get_gateway  # noqa: PLC0415 - the same
    from pyflink.table import ExplainDetail, StreamTableEnvironment  # noqa: PLC0415 - the same

    options = configuration(of, settings)
    if settings.flink.rest_address:
        host, port = settings.flink.rest_address.rsplit(":", 1)
        options |= {"execution.target": "remote", "rest.address": host, "rest.port": port}
    if savepoint:
        options["execution.state-recovery.path"] = savepoint
    given = Configuration()
    for key, value in options.items():
        given.set_string(key, value)
    java = get_gateway().jvm
    if settings.flink.rest_address:
        # getExecutionEnvironment would start a cluster in this process
        kind = java.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
        stream = StreamExecutionEnvironment(kind(given._j_configuration))  # noqa: SLF001 - no public way
    else:
        stream = StreamExecutionEnvironment.get_execution_environment(given)  # `flink run`'s own
    environment = StreamTableEnvironment.create(stream)
    together = environment.create_statement_set()
    for statement in of.statements(settings):
        if statement.startswith("INSERT"):
            together.add_insert_sql(statement)
        else:
            environment.execute_sql(statement)
    if explain:
        print(together.explain(ExplainDetail.CHANGELOG_MODE))  # noqa: T201 - the result
        return
    together.attach_as_datastream()
    java.ticklake.flink.Uids.assign(stream._j_stream_execution_environment)  # noqa: SLF001 - the same
    print(stream.execute_async(of.name).get_job_id())  # noqa: T201 - the result


if __name__ == "__main__":
    main()
