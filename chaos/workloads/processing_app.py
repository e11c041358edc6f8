"""The app of the workload `processing`, as anybody would write it: counts and sums by key and re-keyed, and windows."""

from cluster import App, Event, State, Window

WINDOW_S = 5


class Amount(Event):
    """What a producer sends. `id` is unique; `group` is what it is keyed by the second time."""

    id: str
    key: str
    group: str
    amount: int


class Running(Event):
    """The how many-th of its key an amount was, and what they came to with it."""

    id: str
    key: str
    count: int
    total: int


class Closed(Event):
    """The amounts of a key within a window."""

    key: str
    start_s: int
    ids: list[str]
    total: int


class Sum(Event):
    """What a key's amounts come to."""

    count: int = 0
    total: int = 0


app = App("processing")
amounts = app.topic("processing-amounts", Amount, key="key", idle="5s")


@app.processor(amounts, to="processing-counts")
def count(amount: Amount, so_far: State[Sum]) -> Running:
    """By key."""
    so_far.value = Sum(so_far.value.count + 1, so_far.value.total + amount.amount)
    return Running(amount.id, amount.key, so_far.value.count, so_far.value.total)


@app.processor(amounts, key="group", to="processing-groups")
def regroup(amount: Amount, counted: State[int], total: State[int]) -> Running:
    """By group: through a topic of its own."""
    counted.value += 1
    total.value += amount.amount
    return Running(amount.id, amount.group, counted.value, total.value)


@app.window(amounts, tumbling=f"{WINDOW_S}s", to="processing-windows", late_to="processing-late")
def close(window: Window, amounts: list[Amount]) -> Closed:
    """By key and event time."""
    start_s = int(window.start.timestamp())
    return Closed(amounts[0].key, start_s, [amount.id for amount in amounts], sum(amount.amount for amount in amounts))
