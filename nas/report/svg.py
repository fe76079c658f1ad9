"""A few SVG elements, axes and number formats: what the report's charts are drawn with.

Colours are classes, so the page's style sheet decides them and can follow the reader's theme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape


class Drawing:
    """An SVG image that is written element by element and scales with the page."""

    def __init__(self, width: float, height: float, title: str, description: str = "") -> None:
        self.width = width
        self.height = height
        self.title = title
        self.description = description
        self._parts: list[str] = []

    def add(
        self, tag: str, css: str, *, tip: str = "", text: str = "", **attributes: object
    ) -> None:
        """One element; ``tip`` is shown where the pointer rests, ``css`` its classes.

        Underscores in attribute names become dashes; numbers are rounded to a tenth.
        """
        pairs = [f'class="{css}"'] if css else []
        for name, value in attributes.items():
            shown = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
            pairs.append(f'{name.replace("_", "-")}="{escape(shown)}"')
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self._parts.append(f"<{tag} {' '.join(pairs)}>{inner}{escape(text)}</{tag}>")

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        css: str,
        *,
        tip: str = "",
        radius: float = 0.0,
    ) -> None:
        """A rectangle."""
        self.add("rect", css, tip=tip, x=x, y=y, width=width, height=max(height, 0.0), rx=radius)

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str, *, tip: str = "") -> None:
        """A straight line."""
        self.add("line", css, tip=tip, x1=x1, y1=y1, x2=x2, y2=y2)

    def polyline(self, points: Sequence[tuple[float, float]], css: str) -> None:
        """A line through points."""
        self.add("polyline", css, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))

    def text(
        self, x: float, y: float, text: str, css: str = "label", *, anchor: str = "middle"
    ) -> None:
        """A line of text; ``y`` is its base line."""
        self.add("text", css, text=text, x=x, y=y, text_anchor=anchor)

    def marker(
        self, shape: str, x: float, y: float, size: float, css: str, *, tip: str = ""
    ) -> None:
        """A circle, square or diamond of this radius."""
        if shape == "circle":
            self.add("circle", css, tip=tip, cx=x, cy=y, r=size)
            return
        corners = {
            "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
            "diamond": ((0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)),
        }[shape]
        points = " ".join(f"{x + a * size:.1f},{y + b * size:.1f}" for a, b in corners)
        self.add("polygon", css, tip=tip, points=points)

    def __str__(self) -> str:
        head = (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'style="max-width:{self.width:g}px" aria-label="{escape(self.title)}">'
            f"<title>{escape(self.title)}</title>"
        )
        if self.description:
            head += f"<desc>{escape(self.description)}</desc>"
        return head + "".join(self._parts) + "</svg>"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from at most ``low`` to at least ``high``."""
    span = (high - low) or abs(high) or 1.0
    raw = span / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


class Axes:
    """Linear scales from data to a rectangle of a drawing, with grid, ticks and labels."""

    def __init__(
        self,
        drawing: Drawing,
        box: tuple[float, float, float, float],
        x: Sequence[float],
        y: Sequence[float],
    ) -> None:
        """Fit the data; ``box`` is (left, top, right, bottom)."""
        self.drawing = drawing
        self.left, self.top, self.right, self.bottom = box
        self.x_ticks = ticks(min(x), max(x))
        self.y_ticks = ticks(min(y), max(y))

    def x(self, value: float) -> float:
        """Horizontal position."""
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return self.left + (value - low) / ((high - low) or 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Vertical position."""
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return self.bottom - (value - low) / ((high - low) or 1) * (self.bottom - self.top)

    def draw(self, x_label: str, y_label: str) -> None:
        """Grid lines, tick labels and the two axis labels."""
        drawing = self.drawing
        for value in self.y_ticks:
            drawing.line(self.left, self.y(value), self.right, self.y(value), "grid")
            drawing.text(self.left - 8, self.y(value) + 4, number(value), "tick", anchor="end")
        for value in self.x_ticks:
            drawing.text(self.x(value), self.bottom + 18, number(value), "tick")
        drawing.line(self.left, self.bottom, self.right, self.bottom, "axis")
        drawing.text(self.right, self.bottom + 38, x_label, "label", anchor="end")
        drawing.text(self.left - 34, self.top - 14, y_label, "label", anchor="start")


def number(value: float) -> str:
    """A number in at most four figures, thousands and millions as k, M, G."""
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return f"{value / {' G': 1e9, ' M': 1e6, ' k': 1e3}[suffix]:.3g}{suffix}"
    return f"{value:.4g}"


def milliseconds(value: float) -> str:
    """A latency with its unit; microseconds below a tenth of a millisecond."""
    return f"{value * 1000:.3g} µs" if value < 0.1 else f"{value:.3g} ms"


def signed(value: float) -> str:
    """A difference with its sign and one decimal."""
    return f"{value:+.1f}".replace("-", "−")
