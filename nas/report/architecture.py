"""The papers' figure: the filters that every unit keeps, against the largest network."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from nas.report.svg import Drawing
from search_spaces import Architecture, SearchSpace, Unit

LEFT = 92.0
"""Room for the names of the rows."""
PAGE = 1040.0
"""The width that few units spread over; many units need more."""


def unit_label(name: str) -> str:
    """A unit's name without the stage it stands under: ``stage3.block2`` → ``2``."""
    head, _, tail = name.rpartition(".")
    return tail.removeprefix("block") if head else name


def spans(space: SearchSpace) -> Iterator[tuple[int, int, int]]:
    """Stretches of units of one resolution: (first, last + 1, pixels)."""
    start = 0
    sizes = _output_sizes(space)
    for pixels, group in groupby(space.units, key=lambda unit: sizes[unit.name]):
        stop = start + len(list(group))
        yield start, stop, pixels
        start = stop


def _output_sizes(space: SearchSpace) -> dict[str, int]:
    """Height of every unit's output in pixels: that of its last operation."""
    operations = space.describe(space.largest()).operations
    return {
        unit.name: next(
            operation.output_shape[1]
            for operation in reversed(operations)
            if operation.name == unit.name or operation.name.startswith(f"{unit.name}.")
        )
        for unit in space.units
    }


def stages(space: SearchSpace) -> Iterator[tuple[int, int, str]]:
    """Stretches of units of one stage: (first, last + 1, name); '' outside of stages."""
    start = 0
    for name, group in groupby(space.units, key=lambda unit: unit.name.rpartition(".")[0]):
        stop = start + len(list(group))
        yield start, stop, name
        start = stop


def removed(space: SearchSpace, architecture: Architecture) -> list[str]:
    """The units that lost all their filters."""
    return [unit.name for unit in space.units if architecture[unit.width] == 0]


def architecture_svg(
    space: SearchSpace,
    architecture: Architecture,
    *,
    title: str,
    compared: Architecture | None = None,
) -> str:
    """Bars of M, E and the kernel of every unit; outlines are the largest network.

    Args:
        space: the space of both architectures.
        architecture: what is drawn.
        title: the accessible name.
        compared: its widths are marked with a short line on every bar.
    """
    has_expansion = any(unit.expansion for unit in space.units)
    has_kernel = any(unit.kernel for unit in space.units)
    step = min(max(46.0, (PAGE - LEFT - 12) / len(space.units)), 88.0)
    thick = 0.64 * step
    width = LEFT + step * len(space.units) + 12
    top, tall, small = 52.0, 150.0, 74.0
    filters_base = top + tall
    expansion_base = filters_base + (small + 44 if has_expansion else 0)
    kernel_base = expansion_base + (34 if has_kernel else 0)
    gone = removed(space, architecture)
    drawing = Drawing(
        width,
        kernel_base + 62,
        title,
        f"{len(space.units)} units, {len(gone)} of them removed"
        + (": " + ", ".join(gone) if gone else ""),
    )
    _resolutions(drawing, space, step, kernel_base)
    drawing.text(0, top + 16, "Filters", "label strong", anchor="start")
    drawing.text(0, top + 33, "kept, M of T", "tick", anchor="start")
    if has_expansion:
        y = filters_base + 56
        drawing.text(0, y, "Expansion", "label strong", anchor="start")
        drawing.text(0, y + 17, "kept, E", "tick", anchor="start")
    if has_kernel:
        drawing.text(0, kernel_base - 4, "Kernel", "label strong", anchor="start")
    for i, unit in enumerate(space.units):
        x = LEFT + (i + 0.5) * step
        kept = architecture[unit.width]
        bar = _Bar(drawing, x, thick, unit.name)
        mark = None if compared is None else compared[unit.width]
        bar.draw(filters_base, tall, kept, unit.filters, mark)
        if unit.expansion is not None:
            full = space.largest_value(unit.expansion)
            mark = None if compared is None or not kept else compared[unit.expansion]
            shown = architecture[unit.expansion] if kept else 0
            bar.draw(expansion_base, small, shown, full, mark, part=", expansion", css="bar soft")
        if unit.kernel is not None:
            _kernel(drawing, x, kernel_base, space, architecture, unit)
        drawing.text(x, kernel_base + 22, unit_label(unit.name), "tick")
    _stages(drawing, space, step, kernel_base)
    return str(drawing)


def _stages(drawing: Drawing, space: SearchSpace, step: float, bottom: float) -> None:
    for start, stop, name in stages(space):
        if name:
            left, right = LEFT + start * step + 6, LEFT + stop * step - 6
            drawing.line(left, bottom + 32, right, bottom + 32, "axis")
            label = name.replace("stage", "stage ")
            drawing.text((left + right) / 2, bottom + 49, label, "tick")


def _resolutions(drawing: Drawing, space: SearchSpace, step: float, bottom: float) -> None:
    for i, (start, stop, pixels) in enumerate(spans(space)):
        left, right = LEFT + start * step, LEFT + stop * step
        if i % 2:
            drawing.rect(left, 0, right - left, bottom + 8, "band")
        if i:
            drawing.line(left, 0, left, bottom + 8, "change")
        drawing.text((left + right) / 2, 16, f"{pixels} px", "label strong")


class _Bar:
    """The bars of one unit, centred on ``x``; a height is a share of the largest network's."""

    def __init__(self, drawing: Drawing, x: float, thick: float, name: str) -> None:
        self.drawing = drawing
        self.x = x
        self.thick = thick
        self.name = name

    def draw(
        self,
        base: float,
        height: float,
        kept: int,
        full: int,
        mark: int | None,
        *,
        part: str = "",
        css: str = "bar",
    ) -> None:
        """One bar of ``kept`` out of ``full``; ``mark`` is another network's value."""
        drawing, x = self.drawing, self.x
        left = x - self.thick / 2
        name = self.name + part
        tip = f"{name}: {kept} of {full}" if kept else f"{name}: removed ({full} in the largest)"
        if kept:
            filled = height * kept / full
            drawing.rect(left, base - height, self.thick, height, "ghost", tip=tip, radius=3)
            drawing.rect(left, base - filled, self.thick, filled, css, tip=tip, radius=3)
        else:
            drawing.rect(left, base - height, self.thick, height, "gone", tip=tip, radius=3)
        drawing.text(x, base - height - 6, str(full), "tick")
        if mark:
            y = base - height * mark / full
            tip = f"{name} in the uniformly scaled network: {mark} of {full}"
            drawing.line(left - 5, y, left + self.thick + 5, y, "mark", tip=tip)
        if kept and kept != full:
            inside = filled >= 24
            soft = " on-soft" if "soft" in css else " on"
            label = "value" + soft * inside + " fine" * (kept > 999)
            drawing.text(x, base - 8 if inside else base - filled - 5, str(kept), label)
        if not kept and not part:
            drawing.line(x - 7, base - 22, x + 7, base - 8, "cross")
            drawing.line(x - 7, base - 8, x + 7, base - 22, "cross")


def _kernel(
    drawing: Drawing,
    x: float,
    base: float,
    space: SearchSpace,
    architecture: Architecture,
    unit: Unit,
) -> None:
    assert unit.kernel is not None
    if architecture[unit.width] == 0:
        drawing.text(x, base - 4, "–", "tick")
        return
    size = architecture[unit.kernel]
    css = "value" if size == space.largest_value(unit.kernel) else "value changed"
    drawing.text(x, base - 4, f"{size}×{size}", css)
