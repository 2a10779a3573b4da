"""Database: real SQLite transactions for which the simulated clock charges."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import simpy

from ..engine import Steps
from ..errors import NestedTransactionError
from ..events import EventLog
from ..resilience.base import generator_function
from ..resilience.bulkhead import Bulkhead
from ..validation import NonNegative, Rule, Spec, instance, sequence

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def _columns_of(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    pairs = sequence(name, value.items() if isinstance(value, Mapping) else value)
    for pair in pairs:
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise TypeError(f"{name} must be a dict of name -> columns, got {pair!r} in it")
    return tuple((identifier("table", table), instance("columns", columns, str)) for table, columns in pairs)


@dataclass(frozen=True)
class Database(Spec):
    """A relational database: tables in SQLite, in memory, with a price in time.

    Transaction, constraint, rollback and commit are SQLite's own. A transaction that
    ends with any exception, a crash among them, is rolled back. Transactions run one
    after the other, as SQLite's writers do; the next one waits.

    Args:
        tables: Name -> column definitions in SQL. `DEFAULT (now())` is the simulated time.
        statement_time: Seconds that each statement takes.
        commit_time: Seconds that the commit of a transaction takes, if it has written
            something. It takes effect halfway: a crash in the second half leaves a
            committed transaction whose caller never heard of it.
        name: What the events call it.

    Example:
        >>> env = simpy.Environment()
        >>> database = Database({"orders": "id INTEGER PRIMARY KEY, total REAL"}, commit_time=0.01).bind(env)
        >>> def create(tx):
        ...     return (yield from tx.orders.create(total=9.5))
        >>> process = env.process(database.transaction(create))
        >>> env.run(process), env.now
        ({'id': 1, 'total': 9.5}, 0.01)

    Source: `db.transaction` of the reference document.
    """

    tables: Annotated[Any, Rule(_columns_of, "a dict of name -> columns")] = ()
    statement_time: NonNegative = 0.0
    commit_time: NonNegative = 0.0
    name: str = "database"

    def bind(self, env: simpy.Environment, *, log: EventLog | None = None) -> LiveDatabase:
        """Make the database, with empty tables, in *env*."""
        return LiveDatabase(self, env, log)


class LiveDatabase:
    """A database in an environment.

    Attributes:
        spec: What it was made from.
        commits: Transactions that were committed.
        rollbacks: Transactions that were rolled back.
    """

    def __init__(self, spec: Database, env: simpy.Environment, log: EventLog | None) -> None:
        self.spec = spec
        self.env = env
        self.commits = 0
        self.rollbacks = 0
        self._log = log
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        clock = weakref.proxy(env)  # a finalizer keeps the connection, which must not keep the model
        self._connection.create_function("now", 0, lambda: float(clock.now))
        self._lock = Bulkhead(1).bind(env)
        self._owner: Any = None
        self._tables: list[str] = []
        for name, columns in spec.tables:
            self.create_table(name, columns)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(self._tables)

    def create_table(self, name: str, columns: str) -> None:
        """Create a table, outside of simulated time; nothing happens if it is there."""
        if name not in self._tables:
            self._connection.execute(f"CREATE TABLE {identifier('table', name)} ({columns})")
            self._tables.append(name)

    def transaction(self, fn: Callable[..., Any], *args: Any) -> Steps:
        """Run `fn(tx, *args)` in one transaction: `order = yield from database.transaction(fn)`.

        All of its writes become visible at the commit, or none of them ever.

        Args:
            fn: A generator function of a `Transaction` and *args*.
            *args: More arguments.

        Returns:
            A generator to `yield from`; its value is the value of *fn*.

        Raises:
            NestedTransactionError: The process is in a transaction of this database.
        """
        work = generator_function(fn)
        if self._is_inside():
            raise NestedTransactionError(
                f"{self.spec.name} is in a transaction of this process: pass its tx on instead of beginning another"
            )
        has_written, value = yield from self._lock.run(self._transact, work, *args)
        if has_written:
            yield from self._answer()
        return value

    def execute(self, sql: str, parameters: Any = ()) -> Steps:
        """Run one statement in a transaction of its own and return its rows as dicts."""
        return self.transaction(Transaction.execute, sql, parameters)

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table as dicts, outside of simulated time."""
        if table not in self._tables:
            raise KeyError(f"{self.spec.name} has no table {table!r}, only {', '.join(self._tables) or 'none'}")
        return self.query(f"SELECT * FROM {table}")

    def frame(self, table: str) -> pd.DataFrame:
        """Return a table as a DataFrame, outside of simulated time: `database.frame("outbox")`.

        Rows of a transaction that is open right now are in it.
        """
        import pandas as pd

        rows = self.rows(table)
        cursor = self._connection.execute(f"SELECT * FROM {table} LIMIT 0")
        return pd.DataFrame(rows, columns=[column[0] for column in cursor.description])

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return all tables as DataFrames, by name."""
        return {table: self.frame(table) for table in self._tables}

    def query(self, sql: str, parameters: Any = ()) -> list[Row]:
        """Run one statement at once, outside of simulated time; for set-up and evaluation."""
        cursor = self._connection.execute(sql, parameters)
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _transact(self, fn: Callable[..., Steps], *args: Any) -> Steps:
        transaction = Transaction(self)
        self._owner = self.env.active_process
        self._connection.execute("BEGIN")
        try:
            value = yield from fn(transaction, *args)
            if transaction.has_written:
                yield from self._answer()
            self._connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.ProgrammingError):  # closed already, when all of it is thrown away
                self._connection.execute("ROLLBACK")
            self.rollbacks += 1
            if self._log is not None:
                self._log.append(self.env.now, self.spec.name, "rollback", -1, repr(error))
            raise
        finally:
            self._owner = None
            transaction.is_open = False
        self.commits += 1
        return transaction.has_written, value

    def _answer(self) -> Steps:
        """Wait for one half of the commit time."""
        if self.spec.commit_time:
            yield self.env.timeout(self.spec.commit_time / 2)

    def _is_inside(self) -> bool:
        process = self.env.active_process
        while process is not None and self._owner is not None:
            if process is self._owner:
                return True
            process = getattr(process, "caller", None)
        return False


class Transaction:
    """An open transaction: `tx.execute(sql)` and, for each table, `tx.<table>.create(...)`.

    Attributes:
        is_open: Whether it can still be used.
        has_written: Whether it has done more than read.
    """

    def __init__(self, database: LiveDatabase) -> None:
        self._database = database
        self.is_open = True
        self.has_written = False

    def execute(self, sql: str, parameters: Any = ()) -> Steps:
        """Run one statement, which takes `statement_time`, and return its rows as dicts."""
        database = self._database
        if database.spec.statement_time:
            yield database.env.timeout(database.spec.statement_time)
        if not self.is_open:
            raise RuntimeError(f"the transaction of {database.spec.name} has ended: use tx inside its function only")
        if sql.lstrip()[:6].upper() != "SELECT":
            self.has_written = True
        return database.query(sql, parameters)

    def __getattr__(self, name: str) -> Table:
        if name.startswith("_") or name not in self._database.tables:
            raise AttributeError(f"a transaction has no table {name!r}, only {self._database.tables}")
        return Table(self, name)


class Table:
    """One table inside a transaction; each method is one statement."""

    def __init__(self, transaction: Transaction, name: str) -> None:
        self._transaction = transaction
        self._name = name

    def create(self, **values: Any) -> Steps:
        """Insert a row and return it as a dict, with what the database has filled in."""
        names = ", ".join(identifier("column", name) for name in values)
        marks = ", ".join("?" * len(values))
        what = f"({names}) VALUES ({marks})" if values else "DEFAULT VALUES"
        rows = yield from self._transaction.execute(
            f"INSERT INTO {self._name} {what} RETURNING *", tuple(values.values())
        )
        return rows[0]

    def find(self, **equal: Any) -> Steps:
        """Return the rows in which these columns have these values, as dicts."""
        return self._transaction.execute(f"SELECT * FROM {self._name}{_where(equal)}", tuple(equal.values()))

    def update(self, where: Mapping[str, Any], **values: Any) -> Steps:
        """Set *values* in the rows that equal *where* and return these rows as dicts."""
        changes = ", ".join(f"{identifier('column', name)} = ?" for name in values)
        sql = f"UPDATE {self._name} SET {changes}{_where(where)} RETURNING *"
        return self._transaction.execute(sql, (*values.values(), *where.values()))


def _where(equal: Mapping[str, Any]) -> str:
    tests = " AND ".join(f"{identifier('column', name)} IS ?" for name in equal)
    return f" WHERE {tests}" if tests else ""


def identifier(what: str, name: Any) -> str:
    """Return *name* if it can name a table or a column."""
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"{what} must be an identifier, got {name!r}")
    return name
