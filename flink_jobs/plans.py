"""The plans of the jobs, committed so that a change of a plan is seen in review.

`python -m flink_jobs.plans FOLDER` writes them. Needs the environment of Flink's client (`python -m
ticklake.plans` makes it), but no server: the lake is replaced by tables that swallow their rows.
"""

import re
import sys
from pathlib import Path

from connectors.settings import KafkaSettings
from flink_jobs.ddl import flink_type
from flink_jobs.job import Job
from flink_jobs.run import configuration, jobs
from flink_jobs.settings import JobSettings
from iceberg_catalog.tables import NAMESPACE, tables


def explain(of: Job) -> str:
    """The optimized plan with changelog modes, without what differs from run to run."""
    from pyflink.table import (  # noqa: PLC0415 - starts a JVM
        EnvironmentSettings,
        ExplainDetail,
        TableEnvironment,
    )

    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    settings = JobSettings(kafka=KafkaSettings(bootstrap_servers="broker:9092"))
    for key, value in configuration(of, settings).items():
        environment.get_config().set(key, value)
    lake = settings.catalog.name
    environment.execute_sql(f"CREATE CATALOG `{lake}` WITH ('type' = 'generic_in_memory')")
    environment.execute_sql(f"CREATE DATABASE `{lake}`.`{NAMESPACE}`")
    for table in tables():
        body = ", ".join(
            f"`{c.name}` {flink_type(c)}{' NOT NULL' if c.required else ''}" for c in table.columns
        )
        environment.execute_sql(
            f"CREATE TABLE `{lake}`.`{NAMESPACE}`.`{table.name}` ({body})"
            " WITH ('connector' = 'blackhole')"
        )
    together = environment.create_statement_set()
    for statement in of.statements(settings)[1:]:  # the first creates the real catalog
        if statement.startswith("INSERT"):
            together.add_insert_sql(statement)
        else:
            environment.execute_sql(statement)
    whole = str(together.explain(ExplainDetail.CHANGELOG_MODE))
    optimized = whole.split("== Optimized Physical Plan ==")[1]
    physical, execution = optimized.split("== Optimized Execution Plan ==")
    shapes = [
        re.sub(r"(\w+)\(.*?(, changelogMode=\[[^]]*\])?\)?$", r"\1\2", line)
        for line in physical.strip().splitlines()
    ]
    return "\n".join(
        [
            "-- operators and changelog modes",
            *shapes,
            "",
            "-- execution plan",
            execution.strip(),
            "",
        ]
    )


def main(folder: Path) -> None:
    """Write every plan."""
    folder.mkdir(exist_ok=True)
    for name, of in jobs().items():
        (folder / f"{name}.txt").write_text(explain(of))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
