"""What the benchmarks share: servers of their own, our little Java programs, CPU-seconds."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from connectors import kafka
from flink_jobs.settings import FlinkSettings, JobSettings
from iceberg_catalog import apply as lake
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import tables
from ticklake import views
from ticklake.local import aot, jars, java, jvm, stack
from ticklake.local.flink import flink_home
from ticklake.local.ports import any_free
from ticklake.settings import LocalSettings, Settings, load

_PORTS = ("postgres_port", "kafka_port", "kafka_controller_port", "flink_port", "trino_port")


@contextmanager
def fresh_stack(checkpoint_seconds: float = 5) -> Iterator[Settings]:
    """Servers of their own on free ports, with topics and tables; gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        local = LocalSettings.model_validate(
            {n: any_free() for n in _PORTS} | {"home": Path(folder) / "home"}
        )
        flink = FlinkSettings(checkpoint_seconds=checkpoint_seconds)
        settings = load(local=local, flink=flink)
        try:
            stack.up(settings)
            settings = load(local=local, flink=flink)
            kafka.apply(settings.kafka, kafka.plan(settings.kafka))
            with connect(settings.catalog) as catalog:
                lake.apply(catalog, tables(), lake.plan(catalog, tables()))
            views.apply(settings, views.plan(settings))
            yield settings
        finally:
            stack.down(settings)


def writes_cache(settings: Settings) -> bool:
    """Whether this run of Flink records Java's start-up cache, which makes it slower."""
    return any(aot.output_of(process) for process in flink_processes(settings).values())


def job_settings(settings: Settings) -> JobSettings:
    """What jobs need of all settings."""
    return JobSettings(kafka=settings.kafka, catalog=settings.catalog, flink=settings.flink)


def java_program(settings: Settings, folder: Path, name: str, *arguments: str) -> list[str]:
    """The command that runs one of the programs in benchmarks/java; compiled into `folder`."""
    found = jars.ensure(settings.local, "kafka", "flink")
    extension = java.flink_extension_jar(settings)
    flink = sorted((flink_home() / "lib").glob("*.jar"))
    classpath = [*([extension] if extension else []), *found["kafka"], *found["flink"], *flink]
    ours = java.build_jar(
        Path(__file__).parent / "java",
        classpath,
        folder / "bench.jar",
        compiler=jars.ensure(settings.local, "compiler")["compiler"],
    )
    paths = jvm.classpath([ours, *classpath])
    return [jvm.java(), *jvm.QUIET, "-Xmx512m", "-cp", paths, f"ticklake.{name}", *arguments]


def flink_processes(settings: Settings) -> dict[str, psutil.Process]:
    """JobManager and TaskManager by name."""
    return {
        one.name: psutil.Process(one.pid)
        for one in stack.status(settings)
        if one.pid and one.name in ("jobmanager", "taskmanager")
    }


def cpu_seconds(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """User and system time of each since its start."""
    return {n: p.cpu_times().user + p.cpu_times().system for n, p in processes.items()}


def peak_mb(process: psutil.Process) -> float:
    """Highest resident memory, MB."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0
