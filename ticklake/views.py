"""The lake's views, made through Trino, whose SQL they are written in."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from connectors import headers
from connectors.change import Change
from iceberg_catalog.tables import NAMESPACE, Table, tables
from ticklake import queries
from ticklake.settings import Settings

MOST_ATTEMPTS = 5
"""A dead letter that was sent again so often is parked."""

_FOLDER = "iceberg_catalog.views"
_EACH_TABLE = "-- ${each_table}\n"


@dataclass(frozen=True)
class View:
    """A view as it is to be; the comment carries a digest, by which a change is seen."""

    name: str
    query: str
    comment: str


def views(settings: Settings) -> tuple[View, ...]:
    """All views: each `.sql` of iceberg_catalog/views, its `${...}` filled from the settings.

    What stands behind a line `-- ${each_table}` is repeated for each bronze table, and united.
    """
    values = {
        "lake": _quoted(settings.catalog.name),
        "partitions": str(settings.kafka.partitions),
        "stored": _stored(_quoted(settings.catalog.name)),
        "dead_letter_header": headers.DEAD_LETTER,
        "most_attempts": str(MOST_ATTEMPTS),
    }
    found = []
    for file in sorted(files(_FOLDER).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            query = _filled(file.read_text(), values)
            digest = hashlib.sha256(query.encode()).hexdigest()[:12]
            text = query.removeprefix("-- ").partition(":")[0]
            found.append(View(file.name.removesuffix(".sql"), query, f"{text} ({digest})"))
    return tuple(found)


def plan(settings: Settings) -> list[Change]:
    """Which views are missing or made from another text.

    Raises:
        UnavailableError: Trino does not answer.
    """
    rows = queries.run(
        settings,
        "SELECT table_name, comment FROM system.metadata.table_comments "
        "WHERE catalog_name = ? AND schema_name = ?",
        (settings.catalog.name, NAMESPACE),
    ).rows
    comments = dict(rows)
    changes = []
    for view in views(settings):
        if view.name not in comments:
            changes.append(Change(_target(view), "create", view.comment))
        elif comments[view.name] != view.comment:
            changes.append(Change(_target(view), "change", f"now {view.comment}"))
    return changes


def apply(settings: Settings, changes: Iterable[Change]) -> None:
    """Create or replace the planned views; the tables they read must be there.

    Raises:
        TicklakeError: Trino refuses the view.
        UnavailableError: Trino does not answer.
    """
    targets = {change.target for change in changes}
    for view in views(settings):
        if _target(view) in targets:
            comment = view.comment.replace("'", "''")
            name = f"{_quoted(settings.catalog.name)}.{NAMESPACE}.{_quoted(view.name)}"
            queries.run(
                settings,
                f"CREATE OR REPLACE VIEW {name} COMMENT '{comment}' SECURITY INVOKER AS\n"
                f"{view.query}",
            )


def _stored(lake: str) -> str:
    """Where each event of a topic is in bronze, as a query over all tables that keep one."""
    return "\n  UNION ALL\n  ".join(
        f"SELECT '{table.event.stream.topic}' AS topic, '{table.name}' AS table_name, event_id, "  # noqa: S608 - as declared
        f"{_quoted(table.time)} AS event_time, CAST(_kafka_partition AS bigint) AS "
        f'"partition", _kafka_offset AS "offset" FROM {lake}.{NAMESPACE}.{_quoted(table.name)}'
        for table in tables()
        if table.event.stream.made_by == "connectors"
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
    before, mark, repeated = text.partition(_EACH_TABLE)
    if not mark:
        return Template(text).safe_substitute(values)
    parts = [
        Template(repeated).safe_substitute(
            values,
            table=table.name,
            topic=(table.event.stream.topic or "") if _is_sent(table) else "",
        )
        for table in tables()
    ]
    return before + "UNION ALL\n".join(parts)


def _is_sent(table: Table) -> bool:
    return table.event.stream.made_by == "connectors"


def _target(view: View) -> str:
    return f"view {NAMESPACE}.{view.name}"


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
