"""Messages, their copies for each subscription, and the deliveries of a copy."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..engine import Request
from ..errors import AcknowledgementError

if TYPE_CHECKING:
    import pandas as pd

    from .subscription import Consumer, Subscription

WAITING, IN_FLIGHT, ACKNOWLEDGED, DEAD_LETTERED, LOST = "waiting", "in_flight", "acknowledged", "dead_lettered", "lost"
"""What has become of a copy. Only the first two can still change."""
UNROUTED = "unrouted"
"""A message that nobody had subscribed to when it was published."""


@dataclass(frozen=True)
class Message:
    """What a consumer gets.

    Attributes:
        id: Number of the message at its broker, in order of publication.
        topic: Where it was published.
        payload: What it says.
        key: Messages of one key are handled in order of publication; None is no order.
        event_id: What it is about, by the publisher's word: the same event published
            twice has two ids and one event_id. By default the id.
        published: When the broker had stored it, in seconds.
    """

    id: int
    topic: str
    payload: Any
    key: Hashable
    event_id: Hashable
    published: float


class Copy:
    """A message on its way to one subscription.

    Attributes:
        message: The message.
        request: The identity of the work that it causes.
        status: `waiting`, `in_flight`, `acknowledged`, `dead_lettered` or `lost`.
        deliveries: How many times it was handed out.
        handled: How many times a handler did all its work.
        first_handled: When one did so first; NaN before.
        settled: When the status became final; NaN before.
    """

    __slots__ = ("deliveries", "first_handled", "handled", "message", "request", "settled", "status")

    def __init__(self, message: Message, request: Request) -> None:
        self.message = message
        self.request = request
        self.status = WAITING
        self.deliveries = 0
        self.handled = 0
        self.first_handled = math.nan
        self.settled = math.nan

    @property
    def is_open(self) -> bool:
        """Whether the broker still has to deliver it."""
        return self.status in (WAITING, IN_FLIGHT)


class Delivery:
    """A copy in the hands of a consumer.

    With `acknowledge="manual"` the handler gets it, and must call `ack` or `nack`.

    Attributes:
        message: The message.
        number: 1 for the first delivery, more for a redelivery.
        consumer: Who has it.
        ready: Since when the copy waited for this delivery, in seconds.
        start: When it was handed out, in seconds.
        end: When the handler had ended, however it ended; NaN before.
        outcome: What the broker saw: `open`, `acknowledged`, `refused`, `expired`, `lost`.
        cause: The error of the handler in a word, "crash", or nothing.
        is_duplicate: Whether a handler did work that another had already done in full.
    """

    __slots__ = (
        "cause",
        "consumer",
        "copy",
        "end",
        "is_answered",
        "is_duplicate",
        "is_refused",
        "limit",
        "number",
        "outcome",
        "ready",
        "start",
    )

    def __init__(self, copy: Copy, consumer: Consumer, ready: float, start: float) -> None:
        self.copy = copy
        self.consumer = consumer
        self.number = copy.deliveries
        self.ready = ready
        self.start = start
        self.end = math.nan
        self.outcome = "open"
        self.cause = ""
        self.is_answered = False
        self.is_refused = False
        self.is_duplicate = False
        self.limit: list[Any] = [0.0, None]

    @property
    def message(self) -> Message:
        """The message that was delivered."""
        return self.copy.message

    def ack(self) -> bool:
        """Tell the broker that the message is done with.

        Returns:
            Whether the broker took it. It does not after the deadline, nor while it is
            down: then the message comes again.

        Raises:
            AcknowledgementError: The delivery was answered before.
        """
        return self._answer(self.consumer.subscription.accept)

    def nack(self) -> bool:
        """Give the message back, to be delivered again or to be dead-lettered; like `ack`."""
        self.is_refused = True
        return self._answer(self.consumer.subscription.refuse)

    def count_as_handled(self) -> None:
        """Note that the handler has done all its work."""
        copy = self.copy
        self.is_duplicate = copy.handled > 0
        copy.handled += 1
        if copy.handled == 1:
            copy.first_handled = self.end

    def _answer(self, tell: Any) -> bool:
        if self.is_answered:
            raise AcknowledgementError(f"message {self.message.id} must be answered once, got a second answer")
        self.is_answered = True
        return bool(tell(self))


MESSAGE_COLUMNS: tuple[str, ...] = (
    "message_id",
    "event_id",
    "topic",
    "group",
    "key",
    "published",
    "handled_at",
    "settled",
    "delay",
)
MESSAGE_COLUMNS += ("status", "deliveries", "handled")
DELIVERY_COLUMNS: tuple[str, ...] = (
    "message_id",
    "topic",
    "group",
    "consumer",
    "delivery",
    "ready",
    "start",
    "end",
    "outcome",
    "cause",
)
DELIVERY_COLUMNS += ("is_duplicate",)

Rows = list[tuple[Any, ...]]


def message_rows(subscriptions: list[Subscription], unrouted: list[Message]) -> Rows:
    """Return MESSAGE_COLUMNS of each message and group, in order of publication."""
    nan = math.nan
    rows: Rows = [(m.id, m.event_id, m.topic, "", m.key, m.published, nan, nan, nan, UNROUTED, 0, 0) for m in unrouted]
    for subscription in subscriptions:
        for copy in subscription.copies:
            m = copy.message
            whose = (m.id, m.event_id, m.topic, subscription.group, m.key)
            times = (m.published, copy.first_handled, copy.settled, copy.first_handled - m.published)
            rows.append((*whose, *times, copy.status, copy.deliveries, copy.handled))
    return sorted(rows, key=lambda row: row[0])


def delivery_rows(subscriptions: list[Subscription]) -> Rows:
    """Return DELIVERY_COLUMNS of each delivery, in order of start."""
    rows: Rows = []
    for subscription in subscriptions:
        for d in subscription.deliveries:
            whose = (d.message.id, d.message.topic, subscription.group, d.consumer.name, d.number)
            rows.append((*whose, d.ready, d.start, d.end, d.outcome, d.cause, d.is_duplicate))
    return sorted(rows, key=lambda row: (row[6], row[0]))


def messages_frame(rows: Rows) -> pd.DataFrame:
    """Return message rows as a DataFrame; see `LiveMessageBroker.messages`."""
    kinds = dict.fromkeys(("published", "handled_at", "settled", "delay"), "float64")
    kinds |= dict.fromkeys(("message_id", "deliveries", "handled"), "int64")
    return _frame(rows, MESSAGE_COLUMNS, kinds)


def deliveries_frame(rows: Rows) -> pd.DataFrame:
    """Return delivery rows as a DataFrame; see `LiveMessageBroker.deliveries`."""
    kinds = dict.fromkeys(("ready", "start", "end"), "float64")
    return _frame(rows, DELIVERY_COLUMNS, kinds | {"message_id": "int64", "delivery": "int64", "is_duplicate": "bool"})


def _frame(rows: Rows, columns: tuple[str, ...], kinds: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns)).astype(kinds)
