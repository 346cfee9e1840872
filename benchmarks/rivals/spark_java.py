"""The JVM of Spark's driver, without Spark's start script.

The script adds the module jdk.incubator.vector, which no JRE has and nothing here needs; without it
a machine needs no Java of its own. Java 21 (from Spark's own requirements) is the newest that
Spark 4.1 supports; Iceberg has no release for Spark 4.2 yet.
"""

import os
import subprocess
import time
from pathlib import Path

import pyspark
import spark_jars
from pyspark.serializers import UTF8Deserializer, read_int

from ticklake.local import jvm

# as the script does
OPENED = (
    *("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "util", "util.concurrent"),
    "util.concurrent.atomic",
)
INNER = ("jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar")


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The driver's JVM, to which PySpark is told to connect."""
    info = folder / "gateway"
    opened = [f"java.{name}" for name in OPENED] + list(INNER)
    command = [jvm.java(), *jvm.QUIET, "-Xmx3g", "-XX:+UseParallelGC", jvm.temporary(folder)]
    command += [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in opened]
    command += ["--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED"]
    home = Path(pyspark.__file__).parent
    command += ["-cp", jvm.classpath([*spark_jars.fetched(), home / "jars" / "*"])]
    command += ["org.apache.spark.deploy.SparkSubmit", "pyspark-shell"]
    given = {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "_PYSPARK_DRIVER_CONN_INFO_PATH": str(info),
    }
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | given)
    while not info.exists():
        if process.poll() is not None:
            raise SystemExit("Spark's JVM ended at its start")
        time.sleep(0.1)
    with info.open("rb") as file:
        os.environ["PYSPARK_GATEWAY_PORT"] = str(read_int(file))
        os.environ["PYSPARK_GATEWAY_SECRET"] = UTF8Deserializer().loads(file)
    return process
