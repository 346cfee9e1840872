"""A standalone Flink cluster: one JobManager and one TaskManager.

The wheel `apache-flink` holds a whole Flink. Nothing is written into it: the cluster has its own
folders of jars (links) and configuration, and the entry points are started without Flink's
scripts, which need bash and add an option that Java 25 refuses.
"""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from connectors.errors import TicklakeError
from ticklake.local import aot, jars, jvm
from ticklake.local.ports import LOOPBACK, any_free, is_free
from ticklake.local.processes import Port, Server, log_file, process_of, recall
from ticklake.settings import LocalSettings, Settings

JOBMANAGER = "jobmanager"
TASKMANAGER = "taskmanager"
_JOBMANAGER_CLASS = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASKMANAGER_CLASS = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"

# For what plans and coordinates, and no record passes: the quick compiler is enough.
_BRIEF = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# Flink's own list, without the packages of jdk.compiler, which a JRE does not have
_OPENED = (
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.net=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.text=ALL-UNNAMED",
    "--add-opens=java.base/java.time=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.locks=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)

_LOGGING = """\
rootLogger.level = {level}
rootLogger.appenderRef.console.ref = Console
appender.console.type = Console
appender.console.name = Console
appender.console.target = {target}
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{{ISO8601}} %-5p %c{{1}} [%t] %m%n
logger.pekko.name = org.apache.pekko
logger.pekko.level = WARN
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.hadoop.name = org.apache.hadoop
logger.hadoop.level = ERROR
logger.netty.name = org.jboss.netty.channel.DefaultChannelPipeline
logger.netty.level = OFF
"""


def ports(local: LocalSettings) -> tuple[Port, ...]:
    """What the JobManager listens on; all other ports are chosen free at each first start."""
    return (Port(local.flink_port, "flink_port"),)


def address(local: LocalSettings) -> str:
    """The web page, and the REST address."""
    return f"http://{LOOPBACK}:{local.flink_port}"


def flink_home() -> Path:
    """The wheel's folder that holds Flink's own jars."""
    found = find_spec("pyflink")
    if found is None or found.origin is None:
        raise TicklakeError("apache-flink is not installed; install the environment again")
    return Path(found.origin).parent


def conf_dir(local: LocalSettings) -> Path:
    """Flink's configuration of this stack; what clients call FLINK_CONF_DIR."""
    return local.home / "flink" / "conf"


def lib_dir(local: LocalSettings) -> Path:
    """Flink's jars and ours; what clients call FLINK_LIB_DIR."""
    return local.home / "flink" / "lib"


def client_environment(settings: Settings) -> dict[str, str]:
    """Environment under which Flink's client (and PyFlink's gateway) meets this cluster."""
    local = settings.local
    logs = local.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return {
        "FLINK_HOME": str(flink_home()),
        "FLINK_CONF_DIR": str(conf_dir(local)),
        "FLINK_LIB_DIR": str(lib_dir(local)),
        "FLINK_LOG_DIR": str(logs),
        "JAVA_HOME": str(jvm.java_home()),
        "JVM_ARGS": " ".join([*_BRIEF, os.environ.get("JVM_ARGS", "")]).strip(),
        "_python_worker_execution_mode": "process",
    }


def write_files(settings: Settings, extra_jars: Sequence[Path] = ()) -> None:
    """Write the folders of jars and configuration, as clients and servers need them."""
    local = settings.local
    _link_jars(local, extra_jars)
    conf = conf_dir(local)
    conf.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}: {json.dumps(value)}" for name, value in _configuration(settings).items()]
    (conf / "config.yaml").write_text("\n".join(lines) + "\n")
    server_log = _LOGGING.format(level="INFO", target="SYSTEM_OUT")
    (conf / "log4j-console.properties").write_text(server_log)
    client_log = _LOGGING.format(level="WARN", target="SYSTEM_ERR")
    (conf / "log4j-cli.properties").write_text(client_log)
    for folder in _state_folders(settings):
        folder.mkdir(parents=True, exist_ok=True)


def jobmanager(settings: Settings) -> Server:
    """The JobManager; `write_files` comes first."""
    local = settings.local
    return _server(
        local,
        name=JOBMANAGER,
        title="Flink JobManager",
        options=_BRIEF,
        parameters="GET_JM_RESOURCE_PARAMS",
        main=_JOBMANAGER_CLASS,
        ready=lambda: _get(local, "/overview") is not None,
    )


def taskmanager(settings: Settings) -> Server:
    """The TaskManager; `write_files` comes first."""
    local = settings.local
    return _server(
        local,
        name=TASKMANAGER,
        title="Flink TaskManager",
        options=("-XX:+UseParallelGC", *jvm.LATE_COMPILER),
        parameters="GET_TM_RESOURCE_PARAMS",
        main=_TASKMANAGER_CLASS,
        ready=lambda: _registered(local),
    )


def _server(  # noqa: PLR0913 - the two servers differ in just these
    local: LocalSettings,
    *,
    name: str,
    title: str,
    options: tuple[str, ...],
    parameters: str,
    main: str,
    ready: Callable[[], bool],
) -> Server:
    conf = conf_dir(local)
    folder = local.home / "flink"
    memory, dynamic = _resources(local, parameters)
    log_config = conf / "log4j-console.properties"
    # the jars' own places: the same for every home, so that homes share one cache
    classpath = [jar.resolve() for jar in sorted(lib_dir(local).glob("*.jar"))]
    return Server(
        name=name,
        title=title,
        passing_options=aot.options(local, name, classpath, (*options, *_OPENED)),
        command=(
            jvm.java(),
            *memory,
            *options,
            *jvm.QUIET,
            jvm.temporary(folder),
            *_OPENED,
            f"-Dlog4j.configurationFile={log_config.as_uri()}",
            # only so that the web page shows the log
            f"-Dlog.file={log_file(local.home, name)}",
            "-cp",
            jvm.classpath(classpath),
            main,
            "--configDir",
            str(conf),
            *dynamic,
        ),
        ready=ready,
        cwd=folder,
        env={"FLINK_CONF_DIR": str(conf), "FLINK_LIB_DIR": str(lib_dir(local))},
        settled_by=(conf / "config.yaml", log_config),
    )


def _configuration(settings: Settings) -> dict[str, object]:
    local = settings.local
    folder = local.home / "flink"
    internal = _internal_ports(local)
    return {
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": internal["jobmanager"],
        "jobmanager.bind-host": LOOPBACK,
        "jobmanager.memory.process.size": f"{local.jobmanager_mb}m",
        "blob.server.port": internal["blob"],
        "taskmanager.host": LOOPBACK,
        "taskmanager.bind-host": LOOPBACK,
        "taskmanager.memory.process.size": f"{local.taskmanager_mb}m",
        "taskmanager.numberOfTaskSlots": local.task_slots,
        # RocksDB holds little: open windows, and blocks of ids that are found on the heap
        "taskmanager.memory.managed.fraction": 0.15,
        # a killed half is noticed after two beats that do not get through
        "heartbeat.interval": "2 s",
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": local.flink_port,
        "rest.bind-port": str(local.flink_port),
        "io.tmp.dirs": str(folder / "tmp"),
        "web.tmpdir": str(folder / "web"),
        "web.cancel.enable": True,
        # no upload of jars through the page: whoever can submit can run any code
        "web.submit.enable": False,
        "state.backend.rocksdb.localdir": str(folder / "rocksdb"),
        # Hadoop's own starts a process for each file that a commit makes
        "flink.hadoop.fs.file.impl": "ticklake.flink.LocalFiles",
        # a shutdown hook of Hadoop outlives its job; Flink would print a stack trace about it
        "classloader.check-leaked-classloader": False,
        # for clients that are started by PyFlink or by Flink's own scripts
        "env.java.home": str(jvm.java_home()),
        "env.java.opts.all": " ".join(_OPENED),
    }


def _internal_ports(local: LocalSettings) -> dict[str, int]:
    """Ports between Flink's own processes: chosen once, kept so that restarts meet again."""
    file = local.home / "flink" / "ports.json"
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    runs = any(process_of(recall(local.home, name)) for name in (JOBMANAGER, TASKMANAGER))
    if not kept or (not runs and not all(is_free(port) for port in kept.values())):
        kept = {"jobmanager": any_free(), "blob": any_free()}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(kept))
    return kept


def _link_jars(local: LocalSettings, extra_jars: Sequence[Path]) -> None:
    wanted = {jar.name: jar for jar in sorted((flink_home() / "lib").glob("*.jar"))}
    wanted |= {jar.name: jar for jar in jars.ensure(local, "flink")["flink"]}
    wanted |= {jar.name: jar.resolve() for jar in extra_jars}
    folder = lib_dir(local)
    folder.mkdir(parents=True, exist_ok=True)
    for present in folder.iterdir():
        if wanted.get(present.name) != (present.readlink() if present.is_symlink() else present):
            present.unlink()
    for name, jar in wanted.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(jar)


def _state_folders(settings: Settings) -> list[Path]:
    folder = settings.local.home / "flink"
    folders = [folder / "tmp", folder / "web", folder / "rocksdb"]
    state = urlsplit(settings.flink.state_dir)
    if state.scheme in {"", "file"}:
        folders += [Path(state.path) / "checkpoints", Path(state.path) / "savepoints"]
    return folders


def _resources(local: LocalSettings, question: str) -> tuple[list[str], list[str]]:
    """Flink's own division of the process's memory: JVM options and dynamic properties.

    The answer depends on the configuration only and takes a JVM to compute, so it is kept.
    """
    conf = conf_dir(local)
    kept = local.home / "flink" / f"{question.lower()}.json"
    asked = (conf / "config.yaml").read_text()
    if kept.exists():
        known = json.loads(kept.read_text())
        if known["asked"] == asked:
            return known["memory"], known["dynamic"]
    helper = flink_home() / "bin" / "bash-java-utils.jar"
    dist = next((flink_home() / "lib").glob("flink-dist-*.jar"))
    result = subprocess.run(  # noqa: S603 - our own arguments
        [
            jvm.java(),
            *jvm.QUIET,
            "-XX:TieredStopAtLevel=1",
            "-cp",
            jvm.classpath([helper, dist]),
            "org.apache.flink.runtime.util.bash.BashJavaUtils",
            question,
            "--configDir",
            str(conf),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [
        line.removeprefix(_RESULT).split()
        for line in result.stdout.splitlines()
        if line.startswith(_RESULT)
    ]
    if result.returncode != 0 or len(answers) != 2:  # noqa: PLR2004 - JVM options, properties
        said = [line for line in result.stderr.splitlines() if "Exception" in line]
        raise TicklakeError(
            f"Flink cannot divide its memory: {said[0] if said else 'no reason given'}; change "
            "TICKLAKE_LOCAL__TASKMANAGER_MB or TICKLAKE_LOCAL__JOBMANAGER_MB"
        )
    memory, dynamic = answers
    kept.write_text(json.dumps({"asked": asked, "memory": memory, "dynamic": dynamic}))
    return memory, dynamic


def _get(local: LocalSettings, path: str) -> object | None:
    try:
        with urlopen(f"{address(local)}{path}", timeout=3) as answer:  # noqa: S310 - our own http
            found: object = json.load(answer)
            return found
    except (URLError, OSError, ValueError):
        return None


def _registered(local: LocalSettings) -> bool:
    found = _get(local, "/taskmanagers")
    return isinstance(found, dict) and bool(found.get("taskmanagers"))
