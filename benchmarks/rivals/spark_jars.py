"""The jars that Spark's package lacks: Kafka, Iceberg, PostgreSQL; checked by a lock of their own.

After a change: `make lock`.
"""

from pathlib import Path

from ticklake.local import jars, lock
from ticklake.settings import LocalSettings

LOCK_FILE = Path(__file__).with_name("spark_jars.lock.toml")
SPARK = "4.1.1"
ROOTS = {
    "spark": tuple(
        lock.Root(coordinate)
        for coordinate in (
            f"org.apache.spark:spark-sql-kafka-0-10_2.13:{SPARK}",
            f"org.apache.spark:spark-token-provider-kafka-0-10_2.13:{SPARK}",
            # as the two ask for
            "org.apache.kafka:kafka-clients:3.9.1",
            "org.apache.commons:commons-pool2:2.12.1",
            # as our own job has
            "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0",
            "org.postgresql:postgresql:42.7.14",
        )
    )
}


def fetched() -> list[Path]:
    """The files, fetched if they are not here yet."""
    return jars.ensure(LocalSettings(), "spark", lock_file=LOCK_FILE)["spark"]


if __name__ == "__main__":
    lock.write(ROOTS, LOCK_FILE)
