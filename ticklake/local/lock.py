"""Write `jars.lock.toml`: every Java file of the local stack with its sha256 and size.

Only a maintainer runs this, after changing a version below: `make lock`. It also writes the lock of
the benchmarks' rivals.
It resolves with jgo's own pure-Python resolver and downloads each file once to hash it, so
that `ticklake up` never resolves anything and can refuse every byte it did not expect.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext

from ticklake import console
from ticklake.local.jars import LOCK_FILE, Jar

_LOG4J = "2.25.5"
_EXCLUDED_SCOPES = {"test", "provided", "system"}


@dataclass(frozen=True)
class Root:
    """A file that is asked for by name; `transitive` brings what it needs at run time."""

    coordinate: str
    type: str = "jar"
    transitive: bool = False


ROOTS: dict[str, tuple[Root, ...]] = {
    "kafka": (
        Root("org.apache.kafka:kafka_2.13:4.4.0", transitive=True),
        # Kafka logs through slf4j 1.7; its own distribution adds this binding
        Root(f"org.apache.logging.log4j:log4j-slf4j-impl:{_LOG4J}"),
    ),
    "flink": (
        Root("org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"),
        Root("org.apache.iceberg:iceberg-flink-runtime-2.1:1.11.0"),
        Root("org.apache.hadoop:hadoop-client-api:3.5.0"),
        Root("org.apache.hadoop:hadoop-client-runtime:3.5.0"),
        Root("commons-logging:commons-logging:1.3.6"),
        Root("org.postgresql:postgresql:42.7.14"),
    ),
    "compiler": (Root("org.eclipse.jdt:ecj:3.46.100"),),
    "trino": (Root("io.trino:trino-server:476", type="tar.gz"),),
    "rest": (Root("org.apache.iceberg:iceberg-open-api:1.10.1"),),
}


def resolve(roots: Sequence[Root], cache: Path) -> list[Root]:
    """The files that `roots` stand for, in the order in which the resolver names them."""
    context = MavenContext(repo_cache=cache)
    found: dict[str, Root] = {}
    for root in roots:
        found[root.coordinate] = root
        if root.transitive:
            _, needed = context.resolver.resolve([context.create_dependency(root.coordinate)])
            for item in needed:
                if item.scope in _EXCLUDED_SCOPES or item.optional:
                    continue
                name = f"{item.groupId}:{item.artifactId}:{item.version}"
                found[name] = Root(name, type=item.type)
    return list(found.values())


def measure(root: Root, url: str) -> Jar:
    """Read the file once to learn its size and sha256."""
    jar = Jar(root.coordinate, "", 0, root.type)
    digest, size = hashlib.sha256(), 0
    with httpx2.stream("GET", f"{url}/{jar.path}", follow_redirects=True, timeout=60) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return Jar(root.coordinate, digest.hexdigest(), size, root.type)


def render(groups: dict[str, list[Jar]]) -> str:
    """The lock file's text."""
    lines = ["# Written by `make lock`; do not edit.", ""]
    for group, jars in groups.items():
        for jar in jars:
            lines += [f"[[{group}]]", f'coordinate = "{jar.coordinate}"']
            if jar.type != "jar":
                lines.append(f'type = "{jar.type}"')
            lines += [f'sha256 = "{jar.sha256}"', f"size = {jar.size}", ""]
    return "\n".join(lines)


def write(roots: Mapping[str, Sequence[Root]], lock_file: Path) -> None:
    """Resolve, measure and write the lock."""
    groups: dict[str, list[Jar]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for group, asked in roots.items():
            groups[group] = []
            for root in resolve(asked, Path(cache)):
                console.step(f"{group}: {root.coordinate}")
                groups[group].append(measure(root, MAVEN_CENTRAL_URL))
    lock_file.write_text(render(groups))


if __name__ == "__main__":
    write(ROOTS, LOCK_FILE)
