"""Draw the figures of the documentation as SVG: ``python docs/figures/draw.py [RUN]``.

With a quickstart's run folder it also draws the picture of the README from its results. The
quality of super-networks is drawn from the scores in docs/results/supernet-quality.json.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from nas.report import load_run
from nas.report.architecture import architecture_svg
from nas.report.charts import tradeoff_svg
from nas.report.svg import Axes, Drawing

HERE = Path(__file__).parent

STYLE = """
svg { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, "DejaVu Sans", Arial, sans-serif; }
.paper { fill: var(--panel); stroke: var(--line); }
.head { font-size: 15px; font-weight: 600; } .small { font-size: 12px; fill: var(--muted); }
.of-f { fill: var(--discovered); } .of-x { fill: var(--scaled); }
.of-x-only { fill: var(--scaled); fill-opacity: 0.55; } .zero { fill: none; stroke: var(--line); }
.wire { fill: none; stroke: var(--muted); stroke-width: 1.6; }
.block { fill: var(--band); stroke: var(--muted); }
.white { fill: var(--inside); font-size: 12px; font-weight: 600; }
.target { stroke: var(--scaled); stroke-width: 2; stroke-dasharray: 6 4; }
.candidate { fill: var(--soft); } .winner { fill: var(--discovered); }
.old { fill: var(--largest); } .gone-path { stroke: var(--muted); stroke-dasharray: 3 4; }
"""


def save(drawing: Drawing | str, name: str, size: tuple[float, float]) -> None:
    """Write a drawing as a file of its own, with the report's colours and a background."""
    css = files("nas.report").joinpath("report.css").read_text(encoding="utf-8")
    # an image has no page: only the colours and the rules of SVG elements are of use
    colours = css[: css.index("* { box-sizing")]
    shapes = css[css.index("text { font-size") : css.index("@media (max-width")]
    width, height = size
    root = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
    text = str(drawing).replace("<svg ", root, 1)
    back = (
        f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>'
    )
    style = f"<style>{colours}{shapes}{STYLE}</style>{back}"
    end = text.index(">", text.index("<svg")) + 1
    text = text[:end] + style + text[end:]
    (HERE / name).write_text(text + "\n", encoding="utf-8")


def cells(drawing: Drawing, x: float, y: float, kinds: str) -> None:
    """A stack of channels, one letter each: f, x, b (both) or . (absent)."""
    css = {"f": "of-f", "x": "of-x", ".": "zero", "b": "of-f"}
    for i, kind in enumerate(kinds):
        top = y + i * 22
        drawing.rect(x, top, 44, 18, css[kind], radius=3)
        if kind == "b":
            drawing.rect(x + 22, top, 22, 18, "of-x", radius=3)


def bypass() -> None:
    """Channel-level bypass: what each channel of a unit's output is made of."""
    size = (940.0, 372.0)
    drawing = Drawing(*size, "Channel-level bypass connections")
    panels = (
        ("M = T = 8", "nothing is bypassed", 8, "ffffffff"),
        ("M = 5", "the last three inputs pass", 5, "fffffxxx"),
        ("M = 0", "the unit is gone", 0, "xxxxxxxx"),
    )
    for i, (title, note, kept, out) in enumerate(panels):
        left = 24 + i * 305
        drawing.text(left, 36, title, "head", anchor="start")
        drawing.text(left, 56, note, "small", anchor="start")
        cells(drawing, left, 96, "xxxxxxxx")
        cells(drawing, left + 216, 96, out)
        drawing.text(left + 22, 88, "x", "label")
        drawing.text(left + 238, 88, "y", "label")
        if kept:
            height = kept * 22 - 4
            drawing.rect(left + 86, 96, 88, height, "block", radius=6)
            drawing.text(left + 130, 96 + height / 2 - 2, "unit", "label strong")
            drawing.text(left + 130, 96 + height / 2 + 15, f"{kept} filters", "small")
            drawing.line(left + 48, 96 + height / 2, left + 84, 96 + height / 2, "wire")
            drawing.line(left + 176, 96 + height / 2, left + 212, 96 + height / 2, "wire")
        else:
            drawing.rect(left + 86, 96, 88, 172, "gone", radius=6)
        for channel in range(kept, 8):
            y = 105 + channel * 22
            drawing.line(left + 48, y, left + 212, y, "wire")
    drawing.rect(24, 304, 18, 14, "of-f", radius=3)
    drawing.text(50, 316, "made by the unit's filters", "small", anchor="start")
    drawing.rect(230, 304, 18, 14, "of-x", radius=3)
    drawing.text(256, 316, "an input channel, passed on", "small", anchor="start")
    note = "A unit that is residual in the largest network adds x to every channel instead."
    drawing.text(24, 346, note, "small", anchor="start")
    save(drawing, "bypass.svg", size)


def ordered_dropout() -> None:
    """Ordered dropout: every image of a batch trains a sub-network of its own."""
    size = (940.0, 330.0)
    drawing = Drawing(*size, "Ordered dropout")
    drawing.text(24, 36, "One forward-backward pass, many sub-networks", "head", anchor="start")
    widths = ((12, 12, 12), (12, 6, 9), (7, 12, 3), (9, 4, 12), (5, 9, 0))
    names = ("image 1", "image 2", "image 3", "image 4", "image 5")
    for u in range(3):
        drawing.text(204 + u * 230, 72, f"unit {u + 1}", "label strong")
    for row, (name, kept) in enumerate(zip(names, widths, strict=True)):
        y = 88 + row * 38
        drawing.text(24, y + 17, name, "label", anchor="start")
        for u in range(3):
            left = 106 + u * 230
            for channel in range(12):
                css = "of-f" if channel < kept[u] else "zero"
                drawing.rect(left + channel * 16.5, y, 13, 24, css, radius=2)
            if u:
                drawing.line(left - 28, y + 12, left - 6, y + 12, "wire")
        last = "the largest network" if min(kept) == 12 else ""
        if kept[2] == 0:
            last = "unit 3 is bypassed"
        drawing.text(788, y + 17, last, "small", anchor="start")
    note = "Always the last channels are zeroed, so a kept filter sees what it will see alone."
    drawing.text(24, 302, note, "small", anchor="start")
    save(drawing, "ordered-dropout.svg", size)


def descent() -> None:
    """One iteration of multi-layer coordinate descent."""
    size = (940.0, 380.0)
    drawing = Drawing(*size, "One iteration of multi-layer coordinate descent")
    drawing.text(24, 36, "1  Draw J samples", "head", anchor="start")
    drawing.text(
        24, 57, "each shrinks L random choices of the last winner;", "small", anchor="start"
    )
    drawing.text(24, 74, "the last of them is scanned to meet the target", "small", anchor="start")
    changes = ((2, 5, 6), (0, 3, 5), (1, 2, 7))
    shares = ((0.6, 0.35, 0.5), (0.5, 0.6, 0.3), (0.75, 0.4, 0.6))
    for sample in range(3):
        base = 158 + sample * 84
        drawing.text(24, base - 20, f"{sample + 1}", "label", anchor="start")
        for unit in range(8):
            x = 48 + unit * 34
            drawing.rect(x, base - 56, 24, 56, "ghost", radius=3)
            share = 1.0
            if unit in changes[sample]:
                share = shares[sample][changes[sample].index(unit)]
            drawing.rect(x, base - 56 * share, 24, 56 * share, "of-f" if share < 1 else "old")
    drawing.text(390, 36, "2  Evaluate them with the shared weights", "head", anchor="start")
    drawing.text(390, 58, "3  Move to the best", "head", anchor="start")
    left, right, top, bottom = 420.0, 900.0, 92.0, 312.0
    drawing.line(left, bottom, right, bottom, "axis")
    drawing.line(left, top, left, bottom, "axis")
    drawing.text(right, bottom + 22, "latency", "label", anchor="end")
    drawing.text(left + 8, top + 6, "score", "label", anchor="start")
    drawing.line(640, top, 640, bottom, "target")
    drawing.text(640, bottom + 22, "target of this iteration", "tick")
    drawing.line(500, top, 500, bottom, "gone-path")
    drawing.text(500, bottom + 22, "next target", "tick")
    for x, y in (
        (636, 190),
        (633, 228),
        (638, 212),
        (634, 262),
        (638, 245),
        (631, 281),
        (637, 173),
    ):
        drawing.marker("circle", x, y, 5, "candidate")
    drawing.polyline([(820, 128), (638, 150)], "wire")
    drawing.marker("square", 820, 128, 7, "old")
    drawing.text(820, 112, "last winner", "tick")
    drawing.marker("circle", 638, 150, 8, "winner")
    drawing.text(652, 178, "winner: all samples cost almost the same,", "small", anchor="start")
    drawing.text(652, 195, "so the score alone decides", "small", anchor="start")
    note = "Every winner is kept: the result is a family of networks along the trade-off."
    drawing.text(390, 360, note, "small", anchor="start")
    save(drawing, "descent.svg", size)


def result(folder: Path) -> None:
    """The README's picture: trade-off and filters of a real run."""
    run = load_run(folder)
    space, architecture, scaled = run.space, run.discovered, run.row("scaled")
    assert space is not None and architecture is not None
    compared = scaled.architecture if scaled is not None else None
    parts = [
        tradeoff_svg([run], "latency", width=1040.0, height=300.0, named=True),
        architecture_svg(space, architecture, title="Filters kept", compared=compared),
    ]
    inner, y = [], 24.0
    for part in parts:
        assert part is not None
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', part)
        assert box is not None
        width, height = float(box[1]), float(box[2])
        place = f'<svg x="24" y="{y:g}" width="{width:g}" height="{height:g}" '
        inner.append(part.replace("<svg ", place, 1))
        y += height + 22
    size = (1088.0, y + 4)
    drawing = Drawing(*size, "Trade-off and filters kept of a quickstart")
    save(str(drawing).replace("</svg>", "".join(inner) + "</svg>"), "quickstart.svg", size)


def quality() -> None:
    """Scores of the fixed sub-networks by strategy, and their mean against device time."""
    data = json.loads((HERE.parent / "results" / "supernet-quality.json").read_text())
    size = (1040.0, 400.0)
    drawing = Drawing(*size, "Scores of twenty sub-networks and their mean against device time")
    macs = [value / 1e6 for value in data["macs"]]
    scored = [row["scores"] for row in data["networks"].values()]
    axes = Axes(drawing, (70, 50, 500, 345), macs, [0, *(v for row in scored for v in row)])
    axes.draw("MACs (M)", "accuracy (%), each at equal device time")
    for i, (label, row) in enumerate(data["networks"].items()):
        points = list(zip(macs, row["scores"], strict=True))
        curve(drawing, axes, f"series-{i % 4}", label, points, 505.0, row.get("place", 0.0))
    times = [t for row in data["time"].values() for t, _ in row]
    means = [mean for row in data["time"].values() for _, mean in row]
    axes = Axes(drawing, (680, 50, 900, 345), [0, *times], [10, *means])
    axes.draw("device time (steps of the default)", "mean accuracy (%) of the twenty")
    for i, (label, points) in enumerate(data["time"].items()):
        curve(drawing, axes, f"series-{i % 4}", label, points, 905.0, 0.0)
    save(drawing, "supernet-quality.svg", size)


def curve(
    drawing: Drawing,
    axes: Axes,
    css: str,
    label: str,
    points: Sequence[tuple[float, float]],
    x: float,
    shift: float,
) -> None:
    """A line with dots and its name to its right."""
    points = sorted(points)
    line = [(axes.x(a), axes.y(b)) for a, b in points]
    drawing.polyline(line, f"curve {css}")
    for px, py in line:
        drawing.marker("circle", px, py, 3.2, f"dot {css}")
    drawing.text(x, line[-1][1] + 4 + shift, label, "tick", anchor="start")


if __name__ == "__main__":
    bypass()
    quality()
    ordered_dropout()
    descent()
    if len(sys.argv) > 1:
        result(Path(sys.argv[1]))
