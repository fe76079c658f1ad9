"""Figures for TensorBoard and files, with matplotlib and without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from lut.validate import Validation
from nas.report.architecture import spans, unit_label
from search_spaces import Architecture, SearchSpace

KEPT, FULL, GONE = "#0a66b0", "#b9bdc6", "#c4560b"


def architecture_figure(space: SearchSpace, architecture: Architecture) -> Figure:
    """Filters, expansion and kernel that every unit keeps, against the largest network.

    Bars are shares of the largest network's width, with the width itself above; removed units
    carry a cross, and changes of resolution a dashed line.
    """
    rows = [("filters M / T", "width")]
    if any(unit.expansion for unit in space.units):
        rows.append(("expansion E", "expansion"))
    figure = Figure(figsize=(max(5.0, 0.42 * len(space.units) + 1.2), 1.9 * len(rows) + 0.9))
    panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, kind) in zip(panels, rows, strict=True):
        for i, unit in enumerate(space.units):
            choice = unit.width if kind == "width" else unit.expansion
            if choice is None:
                continue
            full = space.largest_value(choice)
            kept = architecture[choice] if architecture[unit.width] else 0
            axes.bar(i, 1.0, width=0.7, fill=False, edgecolor=FULL)
            if kept:
                axes.bar(i, kept / full, width=0.7, color=KEPT)
                axes.text(i, kept / full + 0.03, str(kept), ha="center", fontsize=7)
            else:
                axes.plot(i, 0.08, marker="x", color=GONE, markersize=6, markeredgewidth=2)
        for start, _, _ in list(spans(space))[1:]:
            axes.axvline(start - 0.5, color="#666b75", linestyle=(0, (3, 4)), linewidth=0.8)
        axes.set_ylim(0, 1.18)
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    for start, stop, pixels in spans(space):
        panels[0].text((start + stop - 1) / 2, 1.2, f"{pixels} px", ha="center", fontsize=8)
    names = [_tick(space, i) for i in range(len(space.units))]
    panels[-1].set_xticks(range(len(space.units)), names)
    panels[-1].tick_params(axis="x", labelsize=7)
    figure.set_layout_engine("tight")
    return figure


def _tick(space: SearchSpace, index: int) -> str:
    name = space.units[index].name
    stage = name.rpartition(".")[0].removeprefix("stage")
    return f"{stage}.{unit_label(name)}" if stage else name


def tradeoff_figure(
    family: Sequence[tuple[float, float]],
    *,
    metric: str = "latency (ms)",
    score: str = "score",
    budget: float | None = None,
) -> Figure:
    """Score against a metric along a family, as (metric, score) pairs in the order found.

    Args:
        family: the first pair is the largest network's.
        metric: label of the metric, with its unit.
        score: label of the score, with its unit.
        budget: marked with a line.
    """
    figure = Figure(figsize=(5.4, 3.6))
    axes = figure.subplots()
    axes.plot([x for x, _ in family], [y for _, y in family], "o-", color=KEPT, markersize=4)
    if family:
        axes.plot(*family[0], marker="s", color="#767b86", markersize=7, linestyle="none")
    if budget is not None:
        axes.axvline(budget, color=GONE, linestyle="--", linewidth=1)
        axes.text(budget, 1.01, "budget", transform=axes.get_xaxis_transform(), ha="center")
    axes.set_xlabel(metric)
    axes.set_ylabel(score)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.set_layout_engine("tight")
    return figure


def latency_scatter(result: Validation, device: str) -> Figure:
    """Real latency against estimated latency (NetAdapt, ECCV 2018), and the figures of it."""
    figure = Figure(figsize=(4.6, 4.4))
    axes = figure.subplots()
    measured = [point.measured for point in result.points]
    predicted = [point.predicted for point in result.points]
    top = 1.05 * max(measured + predicted)
    axes.plot([0, top], [0, top], color=FULL, linewidth=1)
    axes.plot(measured, predicted, "o", color=KEPT, markersize=4, alpha=0.7)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_xlabel(f"measured latency on {device} (ms)")
    axes.set_ylabel("sum of look-ups (ms)")
    axes.set_title(
        f"{len(measured)} networks, median error {100 * result.median_error:.1f} %, "
        f"Spearman {result.spearman:.3f}",
        fontsize=9,
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.set_layout_engine("tight")
    return figure


def points_figure(rows: Mapping[str, Sequence[float]], score: str) -> Figure:
    """The score of every seed, one line of points for each row of a comparison.

    Args:
        rows: label to scores; the first row stands at the top.
        score: label of the score, with its unit.
    """
    figure = Figure(figsize=(6.4, 0.8 + 0.4 * len(rows)))
    axes = figure.subplots()
    for place, values in enumerate(rows.values()):
        axes.plot(values, [place] * len(values), "o", color=KEPT, markersize=4, alpha=0.7)
        if values:
            axes.plot(sum(values) / len(values), place, "|", color=GONE, markersize=14)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel(f"{score}: points are seeds, the bar is their mean")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
