"""Servers are killed without a word while ticks stream: nothing is lost, nothing doubled."""

import time

import pytest
from fault_run import Run
from faulty_stack import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
_COMMIT_SECONDS = 60


def test_01_taskmanager_killed_at_a_random_moment(run: Run) -> None:
    """A kill -9 of the TaskManager, anywhere in a checkpoint."""
    with run.streaming():
        time.sleep(run.random.uniform(0, 2 * run.lake.settings.flink.checkpoint_seconds))
        run.lake.kill("taskmanager")
        run.fault()
        run.lake.up()
        run.await_commit()


def test_02_jobmanager_killed(run: Run) -> None:
    """A kill -9 of the JobManager, anywhere in a checkpoint; the job goes on from its state."""
    with run.streaming():
        time.sleep(run.random.uniform(0, 2 * run.lake.settings.flink.checkpoint_seconds))
        run.lake.kill("jobmanager")
        run.fault()
        run.lake.up()
        run.lake.submit()
        run.await_commit()


def test_02_taskmanager_killed_between_checkpoint_and_commit(run: Run) -> None:
    """The checkpoint is complete, no commit has reached the catalog; it is made behind the kill."""
    with run.streaming():
        run.lake.proxy.arm("hold")
        wait_until(run.lake.proxy.hit.is_set, _COMMIT_SECONDS, "no commit came by")
        run.lake.kill("taskmanager")
        run.fault()
        dropped = run.random.random() < 0.5  # else it reaches the catalog from a dead client
        run.lake.proxy.disarm(drop=dropped)
        run.remark("its commit was lost" if dropped else "its commit came through")
        run.lake.up()
        run.await_commit()


def test_02_jobmanager_killed_between_checkpoint_and_commit(run: Run) -> None:
    """The commit is on its way when the JobManager dies; the new job must know of it."""
    with run.streaming():
        run.lake.proxy.arm("hold")
        wait_until(run.lake.proxy.hit.is_set, _COMMIT_SECONDS, "no commit came by")
        run.lake.kill("jobmanager")
        run.fault()
        run.lake.proxy.disarm()
        run.lake.up()
        run.lake.submit()
        run.await_commit()


def test_03_commit_made_but_its_answer_lost(run: Run) -> None:
    """PostgreSQL commits, the line is cut before Flink hears of it."""
    table = run.random.choice(("raw_trades", "market_bars_5s", "dead_letters", "feed_heartbeats"))
    run.remark(table)
    with run.streaming():
        run.lake.proxy.arm("swallow", table)
        wait_until(run.lake.proxy.hit.is_set, _COMMIT_SECONDS, "no commit came by")
        run.fault()
        run.await_commit()


def test_05_catalog_database_killed_in_a_commit(run: Run) -> None:
    """A kill -9 of PostgreSQL while a commit is on its way to it."""
    with run.streaming():
        run.lake.proxy.arm("hold")
        wait_until(run.lake.proxy.hit.is_set, _COMMIT_SECONDS, "no commit came by")
        run.lake.kill("postgres")
        run.fault()
        run.lake.proxy.disarm()
        run.lake.up()
        run.await_commit()


# kafka-python forgets to close sockets that a dead broker left
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_09_broker_killed_while_producing(run: Run) -> None:
    """A kill -9 of Kafka; the producer's retries and the job's sinks meet it again."""
    with run.streaming():
        run.lake.kill("kafka")
        run.fault()
        time.sleep(run.random.uniform(0, 3))
        run.lake.up()
        run.await_commit()


def test_32_trino_killed(run: Run) -> None:
    """The jobs do not need their reader."""
    with run.streaming():
        run.lake.kill("trino")
        run.fault()
        run.await_commit()
        run.lake.up()


def test_13_taskmanager_frozen_for_20_seconds(run: Run) -> None:
    """SIGSTOP, shorter than Flink's patience: it goes on where it stood."""
    with run.streaming():
        run.lake.freeze("taskmanager")
        run.fault()
        time.sleep(20)
        run.lake.thaw()
        run.await_commit(lasting=20)
