"""The report: one HTML file that needs nothing but itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from nas.files import write_text
from nas.progress import duration
from nas.report.architecture import architecture_svg, removed
from nas.report.charts import (
    KINDS,
    STEP_NAMES,
    accuracy_svg,
    layers_svg,
    metric_name,
    steps_svg,
    tradeoff_svg,
)
from nas.report.data import STEPS, Run, load_run
from nas.report.noise import noise_section
from nas.report.shipped import section, shipped_section
from nas.report.svg import milliseconds, number, signed
from nas.runs.results import Compared
from search_spaces import Architecture, UserError

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing but pictures it holds; a browser refuses what slipped in."""


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write one HTML page about one or several runs, side by side.

    Args:
        runs: run folders (``runs/<experiment>``) or folders of single searches.
        out: the file to write; its folder is made, a file that is there is replaced.

    Returns:
        ``out``.

    Raises:
        UserError: no runs are given, a folder holds none, or a result file is broken.
    """
    if not runs:
        raise UserError("a report needs at least one run folder, e.g. runs/quickstart")
    write_text(out, render([load_run(path) for path in runs]))
    return out


def render(runs: Sequence[Run]) -> str:
    """The page as text."""
    css = files("nas.report").joinpath("report.css").read_text(encoding="utf-8")
    title = " · ".join(dict.fromkeys(run.name for run in runs))
    parts = [
        _header(title, runs),
        _headline(runs[0]) if len(runs) == 1 else "",
        _table(runs),
        shipped_section(runs),
        _tradeoff(runs),
        noise_section(runs),
        *(_architectures(run, several=len(runs) > 1) for run in runs),
        _steps(runs),
        *(_examples(run, several=len(runs) > 1) for run in runs),
        *(_layers(run, several=len(runs) > 1) for run in runs),
        _accuracy(runs),
        *(_facts(run, several=len(runs) > 1) for run in runs),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _header(title: str, runs: Sequence[Run]) -> str:
    run = runs[0]
    if len(runs) > 1:
        return f'<h1>{escape(title)}</h1>\n<p class="kicker">{len(runs)} runs side by side</p>'
    space = run.space
    facts = [run.facts.get("task", "")]
    if space is not None:
        facts += [space.name, f"{space.resolution} px"]
    facts += [run.facts.get("device", "")]
    kicker = " · ".join(fact for fact in facts if fact)
    return f'<h1>{escape(title)}</h1>\n<p class="kicker">{escape(kicker)}</p>'


def _headline(run: Run) -> str:
    """The result in three or four large figures."""
    found, largest, scaled = run.row("discovered"), run.row("largest"), run.row("scaled")
    cells: list[tuple[str, str]] = []
    if found is not None and largest is not None:
        a = largest.latency_measured_ms or largest.latency_predicted_ms
        b = found.latency_measured_ms or found.latency_predicted_ms
        if a and b:
            cells.append((f"{a / b:.1f}×", "faster than the largest network"))
    if found is not None and found.score is not None:
        text = found.score.name
        for row, name in ((scaled, "uniformly scaled"), (largest, "largest")):
            if row is not None and row.score is not None:
                text += f"; {name} {row.score.text}"
        cells.append((found.score.text, text))
    if found is not None and found.latency_measured_ms and found.latency_predicted_ms:
        error = found.latency_predicted_ms / found.latency_measured_ms - 1
        text = f"predicted against measured latency of {milliseconds(found.latency_measured_ms)}"
        cells.append((f"{signed(100 * error)} %", text))
    if run.seconds:
        done = len(run.seconds.keys() - {"table", "encoder"})
        steps = {1: "one step", 2: "two steps"}.get(done, "all three steps")
        cells.append((duration(sum(run.seconds.values())), f"for {steps}"))
    if not cells:
        return ""
    inner = "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in cells)
    return f'<div class="figures">{inner}</div>'


def _table(runs: Sequence[Run]) -> str:
    rows = [(run, row) for run in runs for row in run.compared]
    if not rows:
        return ""
    score = next((row.score for _, row in rows if row.score is not None), None)
    score_head = score.name.capitalize() if score is not None else "Score"
    if score is not None and score.split:
        score_head += f", {score.split}"
    heads = ("Network", score_head, "Latency, predicted", "Latency, measured", "MACs", "Parameters")
    lines = []
    for run in runs:
        if len(runs) > 1 and run.compared:
            lines.append(f'<tr class="group"><td colspan="6">{escape(run.name)}</td></tr>')
        largest = run.row("largest")
        lines += [_table_row(row, largest) for row in run.compared]
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
    note = "Small figures are shares of the largest network."
    return section("Result", note, body)


def _table_row(row: Compared, largest: Compared | None) -> str:
    def cell(value: float | None, text: str, full: float | None) -> str:
        if value is None:
            return "<td>–</td>"
        share = f"<small>{100 * value / full:.0f} %</small>" if full else ""
        return f"<td>{escape(text)}{share}</td>"

    compare = None if largest is None or row is largest else largest
    cells = [
        f"<td>{escape(row.label)}</td>",
        f"<td>{escape(row.score.text) if row.score is not None else '–'}</td>",
    ]
    for name in ("latency_predicted_ms", "latency_measured_ms", "macs", "params"):
        value = getattr(row, name)
        text = "" if value is None else (milliseconds if "_ms" in name else number)(value)
        cells.append(cell(value, text, getattr(compare, name, None)))
    return f'<tr class="{row.mark}">{"".join(cells)}</tr>'


def _key(items: Iterable[tuple[str, str]]) -> str:
    """A legend: (SVG of 18 × 14, text)."""
    inner = "".join(
        f'<li><svg viewBox="0 0 18 14" aria-hidden="true">{mark}</svg>{escape(text)}</li>'
        for mark, text in items
    )
    return f'<ul class="key">{inner}</ul>'


def _swatch(css: str) -> str:
    return f'<rect class="{css}" x="1" y="1" width="16" height="12" rx="2"/>'


ROLE_KEYS = {
    "largest": ('<rect class="network largest" x="3" y="1" width="12" height="12"/>', "largest"),
    "scaled": ('<path class="network scaled" d="M9 -1l8 8l-8 8l-8 -8z"/>', "uniformly scaled"),
    "discovered": ('<circle class="network discovered" cx="9" cy="7" r="6.5"/>', "discovered"),
}


def _role_keys(runs: Sequence[Run]) -> list[tuple[str, str]]:
    present = {row.mark for run in runs for row in run.compared}
    return [key for role, key in ROLE_KEYS.items() if role in present]


def _tradeoff(runs: Sequence[Run]) -> str:
    metrics = dict.fromkeys(
        name for run in runs for search in run.searches for name in search.metrics
    )
    for name in ("latency", "macs", "params"):
        if any(row.metric(name) is not None for run in runs for row in run.compared):
            metrics.setdefault(name)
    drawn: list[str] = []
    for name in metrics:
        # the metric that was descended comes first and large
        size = (520.0, 330.0) if drawn else (1040.0, 380.0)
        svg = tradeoff_svg(runs, name, width=size[0], height=size[1])
        if svg is not None:
            drawn.append(svg)
        if len(drawn) == 1:
            second = tradeoff_svg(runs, name, figure="beside")
            drawn += [second] if second is not None else []
    if not drawn:
        return ""
    line = (
        '<path class="curve series-{0}" d="M0 7H18"/><circle class="dot series-{0}" cx="9" '
        'cy="7" r="3.5"/>'
    )
    searches = [(run, search) for run in runs for search in run.searches]
    families = [
        (line.format(i % 4), f"{run.name}, {search.name}: one network an iteration")
        for i, (run, search) in enumerate(searches)
        if search.family
    ]
    note = ""
    if families and any(row.score is not None for run in runs for row in run.compared):
        note = (
            "The line is the family that the search found, scored during the search on the "
            "hold-out split. Filled marks are networks after their own training."
        )
    body = _key([*families, *_role_keys(runs)]) + f'<div class="wide">{drawn[0]}</div>'
    if drawn[1:]:
        body += f'<div class="pair">{"".join(drawn[1:])}</div>'
    return section("Trade-off", note, body)


def _architectures(run: Run, *, several: bool) -> str:
    space = run.space
    architecture = run.discovered
    if space is None or architecture is None:
        return ""
    row = run.row("scaled")
    compared: Architecture | None = None
    if row is not None and row.architecture is not None:
        # of the same units; without bypass or at another width it is of another space
        same = all(name in row.architecture for name in space.choices)
        compared = row.architecture if same else None
    title = "Filters kept" + (f": {run.name}" if several else "")
    gone = removed(space, architecture)
    removable = sum(space.choices[unit.width].values[0] == 0 for unit in space.units)
    note = f"Every unit of the discovered network against the largest one; {len(gone)} of "
    note += f"{removable} removable units are gone. Dashed lines mark a change of resolution."
    keys = [
        (_swatch("bar"), "filters"),
        (_swatch("bar soft"), "expansion"),
        (_swatch("ghost"), "largest network"),
    ]
    if gone:
        keys.append((_swatch("gone"), "removed"))
    if compared is not None:
        keys.append(('<path class="mark" d="M0 7H18"/>', "uniformly scaled, same latency"))
    figure = architecture_svg(space, architecture, title=title, compared=compared)
    return section(title, note, _key(keys) + f'<div class="wide">{figure}</div>')


def _steps(runs: Sequence[Run]) -> str:
    svg = steps_svg(runs)
    if svg is None:
        return ""
    present = [step for step in STEPS if any(step in run.seconds for run in runs)]
    keys = [(_swatch(f"step-{step}"), STEP_NAMES[step]) for step in present]
    return section("Time per step", "", _key(keys) + f'<div class="wide">{svg}</div>')


def _examples(run: Run, *, several: bool) -> str:
    """Test images with what the discovered network, or else the first one, makes of them."""
    if not run.examples:
        return ""
    name = "discovered" if "discovered" in run.examples else min(run.examples)
    data = b64encode(run.examples[name].read_bytes()).decode()
    title = "Test images" + (f": {run.name}" if several else "")
    note = f"The first images of the test split and what the network {name} makes of them."
    picture = f'<img src="data:image/png;base64,{data}" alt="{escape(title)}">'
    return section(title, note, f'<div class="wide">{picture}</div>')


def _layers(run: Run, *, several: bool) -> str:
    svg = layers_svg(run)
    row = run.row("discovered")
    if svg is None or row is None:
        return ""
    title = "Latency per unit" + (f": {run.name}" if several else "")
    keys = [(_swatch(f"kind-{i}"), kind) for i, kind in enumerate(KINDS)]
    keys.append((_swatch("ghost"), "largest network"))
    lines = "".join(
        f"<tr><td>{escape(layer.name)}</td><td>{escape(layer.type)}</td>"
        f"<td>{escape(milliseconds(layer.latency_ms))}</td></tr>"
        for layer in row.layers
    )
    table = (
        f"<details><summary>All {len(row.layers)} operations</summary><table><thead><tr>"
        "<th>Operation</th><th>Type</th><th>Latency</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></details>"
    )
    note = "What the look-up table predicts for the discovered network, operation by operation."
    return section(title, note, _key(keys) + f'<div class="wide">{svg}</div>' + table)


def _accuracy(runs: Sequence[Run]) -> str:
    svg = accuracy_svg(runs)
    if svg is None:
        return ""
    note = (
        "Predicted: the sum over operations in the look-up table. Measured: the exported network "
        "on the device. The shaded band is within 10 %."
    )
    lines = []
    for run in runs:
        for row in run.compared:
            if row.latency_predicted_ms is not None and row.latency_measured_ms:
                error = 100 * (row.latency_predicted_ms / row.latency_measured_ms - 1)
                name = f"{run.name}, {row.label}" if len(runs) > 1 else row.label
                figures = (
                    milliseconds(row.latency_predicted_ms),
                    milliseconds(row.latency_measured_ms),
                    f"{signed(error)} %",
                )
                cells = "".join(f"<td>{escape(text)}</td>" for text in (name, *figures))
                lines.append(f"<tr>{cells}</tr>")
    table = (
        "<table><thead><tr><th>Network</th><th>Predicted</th><th>Measured</th><th>Error</th></tr>"
        f"</thead><tbody>{''.join(lines)}</tbody></table>"
    )
    body = _key(_role_keys(runs)) + f'<div class="pair">{svg}<div class="wide">{table}</div></div>'
    return section("Latency: predicted against measured", note, body)


def _facts(run: Run, *, several: bool) -> str:
    facts = dict(run.facts)
    for search in run.searches:
        budgets = [f"{metric_name(name)} ≤ {number(b.value)}" for name, b in search.budgets.items()]
        if budgets:
            facts[f"budget of {search.name}"] = ", ".join(budgets)
        if search.family:
            facts[f"iterations of {search.name}"] = str(search.family[-1].iteration)
    if not facts:
        return ""
    inner = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return section("About this run" + (f": {run.name}" if several else ""), "", f"<dl>{inner}</dl>")
