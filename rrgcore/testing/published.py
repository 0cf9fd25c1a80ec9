"""The contract of published figures."""

from math import isfinite

from rrgcore.scoring.published import Published
from rrgcore.testing.subject import Subject


def check_published(s: Subject) -> None:
    """Check that every table says what it is of, and that every row has a number."""
    published: Published = s.build()
    with s.trying("tables"):
        tables = list(published.tables())
    s.expect(bool(tables), "has no table")
    for table in tables:
        place = f"{table.paper}, {table.table} ({table.dataset})"
        for name in ("paper", "table", "dataset", "split", "protocol"):
            s.expect(bool(getattr(table, name).strip()), f"{place}: its `{name}` is empty")
        s.expect(bool(table.rows), f"{place}: has no row")
        systems = [row.system for row in table.rows]
        twice = sorted({system for system in systems if systems.count(system) > 1})
        s.expect(not twice, f"{place}: has two rows of '{''.join(twice[:1])}'")
        for row in table.rows:
            s.expect(bool(row.values), f"{place}: the row of '{row.system}' has no number")
            wrong = [key for key, value in row.values.items() if not isfinite(value)]
            s.expect(not wrong, f"{place}: '{''.join(wrong[:1])}' of '{row.system}' is no number")
    s.expect(list(published.tables()) == tables, "its tables are others the second time")
