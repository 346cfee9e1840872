"""Apache's reference REST catalog on loopback, as a process that can be killed and comes back."""

import os
import subprocess
import time
from pathlib import Path

from iceberg_catalog.settings import CatalogSettings
from ticklake.local import jars, java, jvm
from ticklake.local.ports import answers, any_free
from ticklake.settings import LocalSettings

_SOURCES = Path(__file__).parents[1] / "java"
_START_SECONDS = 90


class RestCatalog:
    """One server with its tables in one folder."""

    def __init__(self, folder: Path) -> None:
        """Compile it; `start` comes next."""
        self.port = any_free()
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        files = jars.ensure(LocalSettings(), "rest", "compiler")
        jar = java.build_jar(
            _SOURCES, files["rest"], folder / "main.jar", compiler=files["compiler"]
        )
        classpath = os.pathsep.join(str(path) for path in (jar, *files["rest"]))
        self._command = [jvm.java(), "-Xmx256m", "-cp", classpath, "LoopbackRestCatalog"]
        self._command += [str(self.port), str(folder)]
        self._warehouse = f"file://{folder}/warehouse"

    def settings(self, port: int | None = None) -> CatalogSettings:
        """Settings of a client; another port is that of a proxy."""
        return CatalogSettings(
            kind="rest", uri=f"http://127.0.0.1:{port or self.port}", warehouse=self._warehouse
        )

    def start(self) -> None:
        """Return when it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        deadline = time.monotonic() + _START_SECONDS
        while not answers(self.port):
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """End it without a word."""
        if self._process:
            self._process.kill()
            self._process.wait(20)

    def stop(self) -> None:
        """End it in order."""
        if self._process:
            self._process.terminate()
            self._process.wait(20)
