"""Kafka in KRaft mode: one process that is broker and controller."""

import logging
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from connectors.errors import TicklakeError
from ticklake.local import aot, jars, jvm
from ticklake.local.ports import LOOPBACK, answers
from ticklake.local.processes import Port, Server
from ticklake.settings import LocalSettings, Settings

NAME = "kafka"
TITLE = "Kafka"

_LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.stdout.ref = STDOUT
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %p %c{1} %m%n
"""


def ports(local: LocalSettings) -> tuple[Port, ...]:
    """What it listens on."""
    return (
        Port(local.kafka_port, "kafka_port"),
        Port(local.kafka_controller_port, "kafka_controller_port"),
    )


def address(local: LocalSettings) -> str:
    """Where clients find it."""
    return f"{LOOPBACK}:{local.kafka_port}"


def prepare(settings: Settings) -> Server:
    """Write the configuration and format the storage once; the server that runs on them."""
    local = settings.local
    folder = local.home / "kafka"
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(_properties(local, data))
    log_config = folder / "log4j2.properties"
    log_config.write_text(_LOGGING)
    classpath = jars.ensure(local, "kafka")["kafka"]
    common = (
        jvm.java(),
        *jvm.QUIET,
        jvm.temporary(folder),
        f"-Dlog4j2.configurationFile={log_config.as_uri()}",
        "-cp",
        jvm.classpath(classpath),
    )
    if not (data / "meta.properties").exists():
        _format(common, properties)
    flags = ("-XX:+UseSerialGC", "-XX:MaxMetaspaceSize=128m")
    heap = (f"-Xmx{local.kafka_heap_mb}m", f"-Xms{min(256, local.kafka_heap_mb)}m")
    return Server(
        name=NAME,
        title=TITLE,
        passing_options=aot.options(local, NAME, classpath, flags),
        command=(common[0], *heap, *flags, *common[1:], "kafka.Kafka", str(properties)),
        ready=lambda: _serves(local),
        cwd=folder,
        settled_by=(properties, log_config),
    )


def _properties(local: LocalSettings, data: Path) -> str:
    broker = f"{LOOPBACK}:{local.kafka_port}"
    controller = f"{LOOPBACK}:{local.kafka_controller_port}"
    values = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # one broker: one replica of its own topics, and few partitions of them
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
        # the default of 128 MB is a quarter of the heap
        "log.cleaner.dedupe.buffer.size": "16777216",
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _format(common: tuple[str, ...], properties: Path) -> None:
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # a leading dash would be read as an option
    cluster = f"t{cluster[1:]}"
    result = subprocess.run(  # noqa: S603 - our own arguments
        [
            *common,
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            cluster,
            "--config",
            str(properties),
            "--ignore-formatted",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip() or "no reason given").splitlines()
        raise TicklakeError(f"Kafka's storage was not formatted: {said[-1]}")


def _serves(local: LocalSettings) -> bool:
    """Whether the broker takes requests (an open port alone may be too early)."""
    if not answers(local.kafka_port):
        return False
    from kafka import KafkaAdminClient  # noqa: PLC0415 - slow, and not needed by other commands
    from kafka.errors import KafkaError  # noqa: PLC0415 - the same

    # a refusal here only means "not yet", nothing to warn of
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        client = KafkaAdminClient(
            bootstrap_servers=address(local), request_timeout_ms=3000, bootstrap_timeout_ms=3000
        )
        try:
            return bool(client.describe_cluster()["brokers"])
        finally:
            client.close()
    except KafkaError:
        return False
