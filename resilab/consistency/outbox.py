"""Outbox: messages written in the transaction of the data that they are about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from ..engine import Steps
from ..validation import Rule, Spec
from .database import LiveDatabase, Transaction, identifier

COLUMNS = """
    id INTEGER PRIMARY KEY AUTOINCREMENT, aggregate_type TEXT NOT NULL, aggregate_id NOT NULL,
    event_type TEXT NOT NULL, payload TEXT NOT NULL, created_at REAL DEFAULT (now()), published_at REAL
"""


@dataclass(frozen=True)
class OutboxMessage:
    """A row of the outbox.

    Attributes:
        id: Its number, in order of writing.
        aggregate_type: Kind of thing that the message is about, for instance "Order".
        aggregate_id: Which one; messages of one aggregate keep their order.
        event_type: What has happened; the topic under which it is published.
        payload: What the message says.
        created_at: When it was written, in seconds.
    """

    id: int
    aggregate_type: str
    aggregate_id: Any
    event_type: str
    payload: Any
    created_at: float

    @property
    def key(self) -> str:
        """The aggregate in one word; messages of one key keep their order."""
        return f"{self.aggregate_type}/{self.aggregate_id}"


@dataclass(frozen=True)
class Outbox(Spec):
    """A table of messages that wait to be published.

    Write a message in the transaction that changes the data: both are committed, or
    neither. An `OutboxProcessor` publishes it later, at least once.

    Args:
        table: Name of the table.

    Example:
        >>> import simpy
        >>> from resilab import Database
        >>> env = simpy.Environment()
        >>> database = Database().bind(env)
        >>> outbox = Outbox().bind(database)
        >>> def work(tx):
        ...     yield from outbox.create(tx, "Order", 7, "OrderCreated", {"total": 9.5})
        >>> _ = env.process(database.transaction(work))
        >>> env.run()
        >>> database.frame("outbox").event_type.tolist()
        ['OrderCreated']

    Source: the outbox table of the reference document.
    """

    table: Annotated[str, Rule(identifier, "a name that SQL takes")] = "outbox"

    def bind(self, database: LiveDatabase) -> LiveOutbox:
        """Create the table in *database*, if it is not there."""
        return LiveOutbox(self, database)


class LiveOutbox:
    """An outbox in a database.

    Attributes:
        spec: What it was made from.
        database: Where its table is.
    """

    def __init__(self, spec: Outbox, database: LiveDatabase) -> None:
        self.spec = spec
        self.database = database
        table = spec.table
        database.create_table(table, COLUMNS)
        database.query(f"CREATE INDEX IF NOT EXISTS {table}_unpublished ON {table} (id) WHERE published_at IS NULL")
        self._find = (
            f"SELECT id, aggregate_type, aggregate_id, event_type, payload, created_at FROM {table}"
            " WHERE published_at IS NULL ORDER BY id LIMIT ?"
        )
        self._mark = f"UPDATE {table} SET published_at = now() WHERE published_at IS NULL AND id IN "

    def create(self, tx: Transaction, aggregate_type: str, aggregate_id: Any, event_type: str, payload: Any) -> Steps:
        """Write a message in the transaction *tx*; *payload* is anything that JSON can hold."""
        table: Any = getattr(tx, self.spec.table)
        return (
            yield from table.create(
                aggregate_type=aggregate_type,
                aggregate_id=aggregate_id,
                event_type=event_type,
                payload=json.dumps(payload),
            )
        )

    def find_unpublished(self, limit: int | None = None) -> Steps:
        """Return the oldest messages without a mark, at most *limit*, in order of writing."""
        rows = yield from self.database.execute(self._find, (-1 if limit is None else limit,))
        return [OutboxMessage(**{**row, "payload": json.loads(row["payload"])}) for row in rows]

    def mark_published(self, *ids: int) -> Steps:
        """Mark messages as published; a mark that is there stays as it is."""
        marks = ", ".join("?" * len(ids))
        return self.database.execute(f"{self._mark}({marks})", ids)

    def unpublished(self) -> int:
        """Return how many messages have no mark now, outside of simulated time."""
        sql = f"SELECT count(*) AS waiting FROM {self.spec.table} WHERE published_at IS NULL"
        return int(self.database.query(sql)[0]["waiting"])
