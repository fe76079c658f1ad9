"""Results of the steps as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from nas.cli.output import count, facts, file_size, score_text
from nas.progress import duration

if TYPE_CHECKING:
    from nas.runs.results import RunResult, SearchResult, SupernetResult, Trained, TrainResult

PLAN_FURTHER = "a few MB of TensorBoard events and the search's study"


def supernet_table(result: SupernetResult) -> Table:
    """A trained super-network."""
    scores = {
        f"{name} (hold-out)": "–" if score is None else f"{score:.4g}"
        for name, score in result.scores.items()
    }
    return facts(
        f"super-network of {result.space}",
        {**scores, "time": duration(result.seconds), **_speed(result)},
    )


def _speed(result: Trained) -> dict[str, str]:
    speed = result.images_per_second
    return {"speed": f"{speed:.0f} images/s"} if speed else {}


def training_table(result: TrainResult) -> Table:
    """A trained network."""
    return facts(
        f"network {result.name}",
        {
            "score": score_text(result.score),
            "MACs": count(result.macs or 0),
            "parameters": count(result.params or 0),
            "time": duration(result.seconds),
            **_speed(result),
        },
    )


def family_table(result: SearchResult) -> Table:
    """The winners of a search's iterations."""
    table = Table(title=f"search {result.name}", title_justify="left")
    table.add_column("iteration", justify="right")
    table.add_column("score", justify="right")
    for name in result.metrics:
        table.add_column(name, justify="right")
    for member in result.family:
        costs = [member.metrics[name] for name in result.metrics]
        cells = [count(c) if c >= 1000 else f"{c:.4g}" for c in costs]
        table.add_row(str(member.iteration), f"{member.score.value:.4g}", *cells)
    return table


def run_table(result: RunResult) -> Table:
    """The score that a run came to, and its times."""
    rows = {f"{step} time": duration(s) for step, s in result.seconds.items()}
    return facts(result.experiment, {"score": score_text(result.score), **rows})


def plan_table(data: dict[str, Any]) -> Table:
    """What ``--dry-run`` found."""
    total = sum(step["disk_bytes"] or 0 for step in data["steps"])
    caption = f"nothing was run; disk: at most {file_size(total)}, and {PLAN_FURTHER}"
    table = Table(caption=caption, caption_justify="left")
    for name in ("step", "state", "folder"):
        table.add_column(name, overflow="fold")
    for name in ("updates", "MACs", "parameters", "disk"):
        table.add_column(name, justify="right")
    table.add_column("what", overflow="fold")
    for step in data["steps"]:
        numbers = (step["updates"], step["macs"], step["params"])
        cells = ("" if n is None else count(n) for n in numbers)
        disk = "" if step["disk_bytes"] is None else file_size(step["disk_bytes"])
        table.add_row(step["step"], step["state"], step["folder"], *cells, disk, step["says"])
    return table
