"""Medians as tables, each beside its ratio to the bare pipeline of the same run."""

import statistics

from rich.table import Table

from tests.bench import postgres, processing, route_loops, workload

Figures = dict[str, list[float]]
"""By name, one for each round."""
SHAPES = [(1024, 1), (1024, 12), (100, 1), (100, 12)]
"""Bytes of a record, partitions of its topic."""
MEMBER_SHAPE = (1024, 12)
"""Of these it is read by a group of one, too."""
YARDSTICK = "bare pipeline"
OVER_HTTP = "publish over HTTP, 100 records of 100 B a post"


def shape_name(size: int, partitions: int) -> str:
    """As the table says it."""
    return f"{size} B, {partitions} partition{'s' * (partitions > 1)}"


AS_MEMBER = f"read as a member {shape_name(*MEMBER_SHAPE)}"


def median(figures: Figures, name: str) -> float:
    """Of all rounds."""
    return statistics.median(figures[name])


def spread(figures: Figures, name: str) -> str:
    """Smallest to largest."""
    return f"{min(figures[name]):,.1f} to {max(figures[name]):,.1f}"


def member_line(figures: Figures) -> str:
    """What being in a group costs, beside reading the same records without one."""
    alone = median(figures, f"read {shape_name(*MEMBER_SHAPE)} records/s")
    return (
        f"as a group's only member: {median(figures, f'{AS_MEMBER} records/s') / alone:.2f} of reading without a group"
    )


def throughput_table(figures: Figures) -> Table:
    """Bytes and records, with the ratio to the bare pipeline."""
    table = Table(title="Throughput, medians", title_justify="left")
    for column in ("", "MB/s", "least to most", "records/s", "of the bare pipeline"):
        table.add_column(column, justify="left" if not column else "right")
    whole = median(figures, f"{YARDSTICK} MB/s")
    for name in ("disk", "gRPC", YARDSTICK):
        rate = median(figures, f"{name} MB/s")
        table.add_row(name, f"{rate:,.0f}", spread(figures, f"{name} MB/s"), "", f"{rate / whole:.2f}")
    table.add_section()
    shapes = [f"{doing} {shape_name(size, partitions)}" for doing in ("produce", "read") for size, partitions in SHAPES]
    for name in (*shapes, AS_MEMBER, OVER_HTTP):
        rate = median(figures, f"{name} MB/s")
        table.add_row(
            name,
            f"{rate:,.1f}",
            spread(figures, f"{name} MB/s"),
            f"{median(figures, f'{name} records/s'):,.0f}",
            f"{rate / whole:.2f}",
        )
    return table


def latency_table(figures: Figures) -> Table:
    """Single messages of 1 KiB."""
    table = Table(title="Latency of 1 KiB, medians", title_justify="left")
    for column in ("", "p50 ms", "p99 ms", "p50, of the bare pipeline"):
        table.add_column(column, justify="left" if not column else "right")
    whole = median(figures, f"{YARDSTICK} single p50 ms")
    names = {
        "disk single": "disk: write, fdatasync",
        "gRPC single": "gRPC: there and back",
        f"{YARDSTICK} single": "bare pipeline",
        "single": "publish, one after the other",
        "steady": f"publish, {workload.STEADY_PER_S} a second on 12 partitions",
    }
    for name, label in names.items():
        p50 = median(figures, f"{name} p50 ms")
        table.add_row(label, f"{p50:.2f}", f"{median(figures, f'{name} p99 ms'):.2f}", f"{p50 / whole:.2f}")
    return table


def processing_table(figures: Figures) -> Table:
    """Records a second of one core, with the ratios to the plain loops of the same run."""
    table = Table(title="User code, 1,000 records/s of one core, medians", title_justify="left")
    for column in ("", "1,000/s", "least to most", "of decoded", "of stored"):
        table.add_column(column, justify="left" if not column else "right")
    for kind in (processing.FILTER_MAP, processing.COUNT):
        table.add_section()
        table.add_row(kind)
        decoded, stored = (median(figures, f"{kind}: {loop}") for loop in (processing.DECODED, processing.STORED))
        for name in (name for name in figures if name.startswith(f"{kind}: ") and not name.endswith(processing.UNIT)):
            rate, low, high = median(figures, name), min(figures[name]), max(figures[name])
            table.add_row(
                f"  {name.removeprefix(f'{kind}: ')}",
                f"{rate / 1000:,.0f}",
                f"{low / 1000:,.0f} to {high / 1000:,.0f}",
                f"{rate / decoded:.2f}",
                f"{rate / stored:.2f}",
            )
    return table


def routes_table(figures: Figures) -> Table:
    """Records a second, with the ratios to the yardstick of the same run."""
    table = Table(title="Routes, 1,000 records/s, medians", title_justify="left")
    for column in ("", "1,000/s", "least to most", "of the first"):
        table.add_column(column, justify="left" if not column else "right")
    kinds = {
        route_loops.KIND: (route_loops.BY_HAND, route_loops.ROUTE),
        postgres.KIND: (postgres.RAW, postgres.CONNECTOR, postgres.ROUTE),
    }
    for kind, names in kinds.items():
        table.add_section()
        table.add_row(kind)
        if f"{kind}: {names[0]}" not in figures:
            table.add_row("  no PostgreSQL on this machine")
            continue
        whole = median(figures, f"{kind}: {names[0]}")
        for name in names:
            found = figures[f"{kind}: {name}"]
            rate, low, high = median(figures, f"{kind}: {name}"), min(found), max(found)
            table.add_row(
                f"  {name}",
                f"{rate / 1000:,.0f}",
                f"{low / 1000:,.0f} to {high / 1000:,.0f}",
                f"{rate / whole:.2f}",
            )
    return table


def processing_line(figures: Figures) -> str:
    """What a child process leaves to the node, and who else is there."""
    spent = [
        f"{kind} {median(figures, f'{kind}: {processing.NODE}{processing.UNIT}'):.0f} ns"
        for kind in (processing.FILTER_MAP, processing.COUNT)
    ]
    line = f"the node's own part of a record that goes through a child process: {', '.join(spent)}"
    if any("Bytewax" in name or "Quix" in name for name in figures):
        return f"{line}\nBytewax and Quix Streams: over decoded records, without Kafka (see tests/bench/peer_*.py)"
    return f"{line}\nBytewax and Quix Streams are not installed: make bench-peers"
