"""The report's charts: trade-off, time per step, latency per unit, predicted against measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nas.progress import duration
from nas.report.data import STEPS, UNITS, Run
from nas.report.svg import Axes, Drawing, milliseconds, number, signed
from nas.runs.results import Compared
from nas.tasks.score import Score

Figure = Literal["score", "beside"]
"""Which figure of a network a curve shows."""

SHAPES = {"largest": "square", "scaled": "diamond", "discovered": "circle", "other": "circle"}

STEP_NAMES = {
    "table": "Measure latency table",
    "encoder": "Train encoder",
    "supernet": "Train super-network",
    "search": "Search",
    "train": "Train discovered network",
}

METRIC_NAMES = {"latency": "Latency", "macs": "MACs", "params": "Parameters"}

KINDS = ("convolution", "depthwise", "squeeze-excite", "bypass", "other")
"""What a unit's latency is made of, in the order of the stack."""


def metric_name(name: str, unit: str = "ms") -> str:
    """A metric as an axis label, with its unit; ``unit`` is that of a latency."""
    base, _, device = name.partition("@")
    shown = METRIC_NAMES.get(base, base) + (f" on {device}" if device else "")
    return f"{shown} ({unit})" if base == "latency" else shown


def _finer(latencies: Sequence[float]) -> tuple[float, str]:
    """Factor and unit in which latencies in milliseconds are best read."""
    return (1000.0, "µs") if max(latencies) < 0.1 else (1.0, "ms")


def tradeoff_svg(
    runs: Sequence[Run],
    metric: str,
    *,
    width: float = 520.0,
    height: float = 330.0,
    named: bool = False,
    figure: Figure = "score",
) -> str | None:
    """Score against one metric: every search's family and the compared networks.

    The family is scored during the search on the hold-out split, the compared networks after
    their own training; lines and filled marks keep the two apart.

    Args:
        runs: all in one chart.
        metric: the name of the horizontal axis.
        width: of the drawing, as `height` in its own units.
        height: see `width`.
        figure: the task's score, or its second figure.
        named: writes the name of every compared network beside its mark.

    Returns:
        None where no network has both a score and this metric.
    """
    families, marks = _points(runs, metric, figure)
    xs = [x for _, _, points in families for x, _ in points] + [x for _, x, _ in marks]
    scores = [score for _, _, points in families for _, score in points]
    scores += [score for _, _, score in marks]
    if not xs:
        return None
    label = metric_name(metric).partition(" (")[0]
    label = label if label.startswith("MAC") else label.lower()
    what = "Score" if figure == "score" else scores[0].name
    drawing = Drawing(width, height, f"{what} against {label}")
    factor, unit = _finer(xs) if metric.startswith("latency") else (1.0, "")
    box = (54, 34, width - 16, height - 54)
    axes = Axes(drawing, box, [x * factor for x in xs], [score.value for score in scores])
    score = scores[0]
    name = score.name + (f" ({score.unit})" if score.unit and score.unit != "fraction" else "")
    axes.draw(metric_name(metric, unit), name)
    for title, css, points in families:
        line = [(axes.x(x * factor), axes.y(s.value)) for x, s in points]
        drawing.polyline(line, f"curve {css}")
        for (x, y), (value, s) in zip(line, points, strict=True):
            tip = f"{title}: {s.text} at {_value(metric, value)}"
            drawing.marker("circle", x, y, 3.2, f"dot {css}", tip=tip)
    _draw_marks(drawing, axes, metric, factor, marks, named=named)
    return str(drawing)


Curve = tuple[str, str, list[tuple[float, Score]]]
"""Title, CSS class and points of a search's family."""

Mark = tuple[Compared, float, Score]
"""A compared network, its cost and its score."""


def _points(runs: Sequence[Run], metric: str, figure: Figure) -> tuple[list[Curve], list[Mark]]:
    """What has both a score and the metric: families and compared networks."""
    families: list[Curve] = []
    marks: list[Mark] = []
    for run in runs:
        for search in run.searches:
            points = [
                (member.metrics[metric], found)
                for member in search.family
                if metric in member.metrics and (found := getattr(member, figure)) is not None
            ]
            families.append((f"{run.name}, {search.name}", f"series-{len(families) % 4}", points))
        for row in run.compared:
            value, found = row.metric(metric), getattr(row, figure)
            if value is not None and found is not None:
                marks.append((row, value, found))
    return families, marks


def _draw_marks(
    drawing: Drawing, axes: Axes, metric: str, factor: float, marks: Sequence[Mark], *, named: bool
) -> None:
    """Compared networks, with their names where ``named``."""
    below: list[tuple[float, float]] = []
    for row, value, s in sorted(marks, key=lambda mark: -axes.y(mark[2].value), reverse=True):
        tip = f"{row.label}: {s.text} at {_value(metric, value)}"
        x, y = axes.x(value * factor), axes.y(s.value)
        drawing.marker(SHAPES[row.mark], x, y, 6.5, f"network {row.mark}", tip=tip)
        if named:
            anchor, side = ("end", -12) if x > drawing.width - 170 else ("start", 12)
            # names that would lie on one another move down
            near = [there for where, there in below if abs(where - x) < 150]
            place = max([y + 4, *(there + 16 for there in near)])
            drawing.text(x + side, place, row.label.lower(), "value name", anchor=anchor)
            below.append((x, place))


def _value(metric: str, value: float) -> str:
    if metric.partition("@")[0] == "latency":
        return milliseconds(value)
    return f"{number(value)} {UNITS.get(metric, '')}".rstrip()


def steps_svg(runs: Sequence[Run]) -> str | None:
    """Time per step, one stacked bar a run; None where no run was timed."""
    timed = [run for run in runs if run.seconds]
    if not timed:
        return None
    named = len(runs) > 1
    longest = max(sum(run.seconds.values()) for run in timed)
    left, right, row = (150.0 if named else 0.0), 935.0, 54.0
    drawing = Drawing(1040, row * len(timed) + 4, "Time per step")
    for i, run in enumerate(timed):
        y = i * row
        x = left
        if named:
            drawing.text(0, y + 25, run.name, "label strong", anchor="start")
        for step in STEPS:
            if step not in run.seconds:
                continue
            seconds = run.seconds[step]
            length = (right - left) * seconds / longest
            tip = f"{STEP_NAMES[step]}: {duration(seconds)}"
            drawing.rect(x, y + 4, max(length - 2, 1), 32, f"step-{step}", tip=tip, radius=3)
            if length > 62:
                drawing.text(x + length / 2, y + 25, duration(seconds), "inside")
            else:
                drawing.text(x + length / 2, y + 51, duration(seconds), "tick")
            x += length
        total = duration(sum(run.seconds.values()))
        drawing.text(x + 10, y + 25, total, "label strong", anchor="start")
    return str(drawing)


def kind_of(name: str, type: str) -> str:
    """What a layer belongs to in the stack of its unit."""
    if ".se" in name:
        return "squeeze-excite"
    if type in ("slice", "concat", "add", "pad_channels", "avg_pool"):
        return "bypass"
    if type == "depthwise":
        return "depthwise"
    return "convolution" if type == "conv" else "other"


def _by_unit(row: Compared, units: Sequence[str]) -> dict[str, dict[str, float]]:
    """Unit → kind → milliseconds; layers outside of units stand under their own name."""
    totals: dict[str, dict[str, float]] = {}
    for layer in row.layers:
        owner = [u for u in units if layer.name == u or layer.name.startswith(u + ".")]
        unit = max(owner, key=len, default=layer.name)
        kinds = totals.setdefault(unit, {})
        kind = kind_of(layer.name, layer.type)
        kinds[kind] = kinds.get(kind, 0.0) + layer.latency_ms
    return totals


def layers_svg(run: Run) -> str | None:
    """Predicted latency of every unit of the discovered network, outlined by the largest one's.

    Returns:
        None where the run stores no latencies of single layers.
    """
    row, largest = run.row("discovered"), run.row("largest")
    if row is None or not row.layers:
        return None
    space = run.space
    units = [unit.name for unit in space.units] if space is not None else []
    totals = _by_unit(row, units)
    outline = _by_unit(largest, units) if largest is not None else {}
    names = list(dict.fromkeys([*outline, *totals]))
    every = [sum(kinds.values()) for kinds in [*totals.values(), *outline.values()]]
    left, right, height = 130.0, 900.0, 24.0
    scale = (right - left) / (max(every) or 1)
    drawing = Drawing(1040, height * len(names) + 4, "Latency per unit")
    for i, name in enumerate(names):
        y = i * height
        kinds = totals.get(name, {})
        total = sum(kinds.values())
        before = sum(outline.get(name, {}).values())
        drawing.text(left - 10, y + 16, name, "tick" if kinds else "tick off", anchor="end")
        if before:
            tip = f"{name} in the largest network: {milliseconds(before)}"
            drawing.rect(left, y + 3, before * scale, height - 7, "ghost", tip=tip, radius=2)
        x = left
        for kind in KINDS:
            if kinds.get(kind):
                length = kinds[kind] * scale
                tip = f"{name}, {kind}: {milliseconds(kinds[kind])}"
                css = f"kind-{KINDS.index(kind)}"
                drawing.rect(x, y + 3, length, height - 7, css, tip=tip)
                x += length
        text = milliseconds(total) if kinds else "removed"
        place = left + max(total, before) * scale + 8
        drawing.text(place, y + 16, text, "value" if kinds else "tick", anchor="start")
    return str(drawing)


def accuracy_svg(runs: Sequence[Run]) -> str | None:
    """Latency predicted from the table against latency measured on the exported network.

    Returns:
        None where no network has both.
    """
    rows = [
        (row, row.latency_predicted_ms, row.latency_measured_ms)
        for run in runs
        for row in run.compared
        if row.latency_predicted_ms is not None and row.latency_measured_ms is not None
    ]
    if not rows:
        return None
    factor, unit = _finer([value for _, p, m in rows for value in (p, m)])
    highest = factor * max(max(p, m) for _, p, m in rows) * 1.06
    drawing = Drawing(420, 380, "Predicted against measured latency")
    axes = Axes(drawing, (54, 34, 404, 326), [0, highest], [0, highest])
    end = axes.x_ticks[-1]
    corners = ((0.0, 0.0), (end, end * 0.9), (end, end), (end / 1.1, end))
    band = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in corners)
    drawing.add("polygon", "within", points=band)
    axes.draw(f"measured ({unit})", f"predicted ({unit})")
    drawing.line(axes.x(0), axes.y(0), axes.x(end), axes.y(end), "diagonal")
    for row, predicted, measured in rows:
        error = predicted / measured - 1
        tip = (
            f"{row.label}: predicted {milliseconds(predicted)}, "
            f"measured {milliseconds(measured)} ({signed(100 * error)} %)"
        )
        x, y = axes.x(factor * measured), axes.y(factor * predicted)
        drawing.marker(SHAPES[row.mark], x, y, 6.5, f"network {row.mark}", tip=tip)
    return str(drawing)
