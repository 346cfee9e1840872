"""Bring the catalog to the declaration: create and widen, never lose."""

from collections.abc import Iterable, Iterator
from typing import Literal

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table as StoredTable
from pyiceberg.types import NestedField

from connectors.change import Change, require_none_refused
from connectors.errors import UnavailableError
from connectors.stream import Column
from iceberg_catalog.schema import can_widen, iceberg_type, partition_spec, schema, sort_order
from iceberg_catalog.tables import NAMESPACE, Table

_ATTEMPTS = 5
_FORMAT = "format-version"


def plan(catalog: Catalog, tables: Iterable[Table]) -> list[Change]:
    """What differs between the declared tables and the catalog.

    What the declaration does not name (other tables, other properties) is left alone.
    """
    found: list[Change] = []
    if not _has_namespace(catalog):
        found.append(Change(f"namespace {NAMESPACE}", "create", "namespace"))
    for table in tables:
        stored = _load(catalog, table)
        if stored is None:
            detail = f"{len(table.columns)} columns, by {table.partition} of {table.time}"
            found.append(Change(_target(table), "create", detail))
        else:
            found += _differences(table, stored)
    return found


def apply(catalog: Catalog, tables: Iterable[Table], changes: Iterable[Change]) -> None:
    """Make the planned changes; running it again does nothing.

    Each table is changed in one commit, on what is then there: Flink may commit at any moment.

    Raises:
        TicklakeError: a change is refused; nothing is changed then.
        UnavailableError: others kept changing a table meanwhile.
    """
    changes = list(changes)
    require_none_refused(changes)
    targets = {change.target for change in changes}
    if f"namespace {NAMESPACE}" in targets:
        _create_namespace(catalog)
    for table in tables:
        if _target(table) in targets:
            _bring(catalog, table)


def _bring(catalog: Catalog, table: Table) -> None:
    for _ in range(_ATTEMPTS):
        stored = _load(catalog, table)
        try:
            if stored is None:
                _create(catalog, table)
            else:
                require_none_refused(_differences(table, stored))
                _evolve(table, stored)
        except (CommitFailedException, TableAlreadyExistsError):
            continue  # someone was faster: look again at what is there now
        return
    raise UnavailableError(
        f"{_target(table)} was changed by others in each of {_ATTEMPTS} attempts; apply again"
    )


def _create(catalog: Catalog, table: Table) -> None:
    fields = schema(table)
    catalog.create_table(
        table.identifier,
        schema=fields,
        partition_spec=partition_spec(table, fields),
        sort_order=sort_order(table, fields),
        properties={**_properties(table), _FORMAT: str(_version(table))},
    )


def _evolve(table: Table, stored: StoredTable) -> None:
    present, changed = stored.schema(), _changed_properties(table, stored)
    with stored.transaction() as transaction:
        if any(True for _ in _column_changes(table, present)):
            with transaction.update_schema() as update:
                for column in table.columns:
                    there = _field(present, column.name)
                    if there is None:
                        update.add_column(column.name, iceberg_type(column.type), column.doc)
                        continue
                    update.update_column(
                        column.name, field_type=iceberg_type(column.type), doc=column.doc
                    )
                    if there.required and not column.required:
                        update.make_column_optional(column.name)
        if _version(table) > stored.format_version:
            transaction.upgrade_table_version(_version(table))
        if changed:
            transaction.set_properties(changed)


def _differences(table: Table, stored: StoredTable) -> list[Change]:
    target, present = _target(table), stored.schema()
    refused = [Change(target, "refuse", detail) for detail in _refusals(table, stored)]
    if refused:
        return refused
    found = [Change(target, "change", detail) for detail in _column_changes(table, present)]
    if (version := _version(table)) > stored.format_version:
        detail = f"format version {stored.format_version} to {version}"
        found.append(Change(target, "change", detail))
    for key, value in _changed_properties(table, stored).items():
        before = stored.properties.get(key, "nothing")
        found.append(Change(target, "change", f"property {key}: {before} to {value}"))
    return found


def _column_changes(table: Table, present: Schema) -> Iterator[str]:
    for column in table.columns:
        there = _field(present, column.name)
        if there is None:
            yield f"add column {column.name} {column.type}"
            continue
        if there.field_type != iceberg_type(column.type):
            yield f"widen {column.name} from {there.field_type} to {column.type}"
        if there.required and not column.required:
            yield f"let {column.name} be empty"
        if (there.doc or "") != column.doc:
            yield f"describe {column.name} as: {column.doc}"


def _refusals(table: Table, stored: StoredTable) -> Iterator[str]:
    present = stored.schema()
    declared = {column.name: column for column in table.columns}
    added = [c for name, c in declared.items() if _field(present, name) is None]
    for field in present.fields:
        if field.name not in declared:
            yield _removed(field, added)
    for column in added:
        if column.required:
            yield (
                f"column {column.name} is newly required, and the rows already stored have none; "
                "declare it as optional, or make a new version of the topic"
            )
    for field in present.fields:
        if field.name in declared:
            yield from _incompatible(field, declared[field.name])
    yield from _layout(table, stored)


def _removed(field: NestedField, added: list[Column]) -> str:
    same = [
        c.name for c in added if c.doc == field.doc and iceberg_type(c.type) == field.field_type
    ]
    what = f"was renamed to {same[0]}" if same else "is no longer declared"
    return (
        f"column {field.name} {what}; columns are never removed or renamed: keep it as optional, "
        "or make a new version of the topic"
    )


def _incompatible(field: NestedField, column: Column) -> Iterator[str]:
    declared = iceberg_type(column.type)
    if field.field_type != declared and not can_widen(field.field_type, declared):
        yield (
            f"column {field.name} is {field.field_type} and cannot become {declared}; allowed are "
            "int to long and a decimal of more digits with the same scale"
        )
    if column.required and not field.required:
        yield (
            f"column {field.name} may be empty and cannot become required, for stored rows may "
            "have none; declare it as optional"
        )


def _layout(table: Table, stored: StoredTable) -> Iterator[str]:
    present = stored.schema()
    wanted = [(table.time, table.partition)]
    found = [
        (present.find_column_name(f.source_id) or "?", str(f.transform))
        for f in stored.spec().fields
    ]
    if found != wanted:
        yield (
            f"is partitioned by {_listed(found)} and declared by {_listed(wanted)}; rewrite it "
            "into a new table, or change the declaration back"
        )
    sorted_by = [present.find_column_name(f.source_id) or "?" for f in stored.sort_order().fields]
    if sorted_by != list(table.sort):
        yield (
            f"is sorted by {', '.join(sorted_by) or 'nothing'} and declared by "
            f"{', '.join(table.sort)}; change the declaration back, or the table's order by hand"
        )


def _listed(parts: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{transform}({name})" for name, transform in parts) or "nothing"


def _properties(table: Table) -> dict[str, str]:
    # Trino reads and shows the property `comment` as the table's comment. The format version is
    # given as a property too, but the catalog keeps it as part of the metadata.
    kept = {key: value for key, value in table.properties.items() if key != _FORMAT}
    return {**kept, "comment": table.doc}


def _changed_properties(table: Table, stored: StoredTable) -> dict[str, str]:
    return {k: v for k, v in _properties(table).items() if stored.properties.get(k) != v}


def _version(table: Table) -> Literal[1, 2]:
    return 1 if table.properties.get(_FORMAT) == "1" else 2


def _target(table: Table) -> str:
    return "table " + ".".join(table.identifier)


def _field(fields: Schema, name: str) -> NestedField | None:
    return next((field for field in fields.fields if field.name == name), None)


def _has_namespace(catalog: Catalog) -> bool:
    return (NAMESPACE,) in catalog.list_namespaces()


def _create_namespace(catalog: Catalog) -> None:
    try:
        catalog.create_namespace(NAMESPACE)
    except NamespaceAlreadyExistsError:
        return  # someone was faster


def _load(catalog: Catalog, table: Table) -> StoredTable | None:
    try:
        return catalog.load_table(table.identifier)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None
