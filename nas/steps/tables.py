"""Measuring tables and checking them, for the commands and for the steps that need one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lut import Table, build_table, open_cost_model
from lut.cost import CostModel, Precision
from lut.devices import MeasuringDevice, Progress, ProgressCallback
from lut.fit import read_measurements
from lut.validate import Validation, compare, predict, validate
from nas.progress import SILENT, Reporter
from nas.runs.folder import StepFolder
from nas.runs.networks import find
from nas.runs.results import SearchResult, load_result
from search_spaces import Network, SearchSpace, space_of

UNSTEADY = 0.2
"""`lut.Table.unsteadiness` above which a table that was just measured is warned of."""


@contextmanager
def progress_of(reporter: Reporter, what: str) -> Iterator[ProgressCallback]:
    """A device's progress as a bar; what a person should know is said once."""
    with reporter.work(what, 1.0) as bar:
        share = 0.0

        def show(now: Progress) -> None:
            nonlocal share
            bar.advance(now.done / max(now.total, 1) - share)
            share = now.done / max(now.total, 1)
            if now.message:
                reporter.say(now.message)

        yield show


def measured_table(
    spaces: Sequence[SearchSpace],
    device: MeasuringDevice,
    *,
    precision: Precision = "float32",
    fresh: bool = False,
    reporter: Reporter = SILENT,
) -> Table:
    """The device's table for these spaces in a precision; what the cache lacks is measured.

    Raises:
        UserError: the device is lost; what was measured is kept.
    """
    measured = False
    with progress_of(reporter, f"measuring latency on {device.name}") as show:

        def heard(now: Progress) -> None:
            nonlocal measured
            measured = True
            show(now)

        table = build_table(spaces, device, precision=precision, fresh=fresh, on_progress=heard)
    if measured and table.unsteadiness > UNSTEADY:
        reporter.warn(
            f"timings of one operation on {device.name} are {100 * table.unsteadiness:.0f} % "
            "apart: something else is running, or the core changes its speed, and sums may be off "
            "by as much; where it is quieter, measure again with nas lut build EXPERIMENT --fresh"
        )
    return table


def space_named(reference: str) -> SearchSpace:
    """The space of a recipe, a network, an architecture or a run; or a registered one.

    Raises:
        UserError: nothing of that name.
    """
    return find(reference).space


def networks_named(reference: str, count: int, seed: int) -> dict[str, Network]:
    """Whole networks to check a table with: a search's family, or random ones of a space.

    Args:
        reference: a search's folder or ``result.json``, a recipe or a space.
        count: random networks, or members spread evenly over the family.
        seed: of the drawing.

    Raises:
        UserError: none of these.
    """
    path = Path(reference)
    found = StepFolder(path).result if path.is_dir() else path
    if found.suffix == ".json":
        family = load_result(found, SearchResult).family
        step = max(1, len(family) // count)
        chosen = [(i, member.architecture) for i, member in enumerate(family)][::step]
        return {f"member {i}": space_of(a).describe(a) for i, a in chosen}
    of = space_named(reference)
    source = random.Random(seed)
    drawn = [of.largest(), *(of.random(source) for _ in range(count - 1))]
    return {f"network {i}": of.describe(a) for i, a in enumerate(drawn)}


def check_on_device(
    reference: str,
    device: MeasuringDevice,
    *,
    table: Path | None = None,
    precision: Precision | None = None,
    count: int = 20,
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> tuple[CostModel, Validation]:
    """Sums of look-ups against whole networks measured on the device.

    Args:
        reference: see `networks_named`.
        device: where to measure.
        table: what is checked; default the device's own from the cache.
        precision: of the networks; default that of the table, float32 of one from the cache.
        count: networks.
        seed: of random networks.
        reporter: shows progress.

    Returns:
        The table, and how well its sums predict.

    Raises:
        UserError: as `networks_named`; there is no table, or it lacks an operation; the device
            is lost.
    """
    networks = networks_named(reference, count, seed)
    operations = [o for network in networks.values() for o in network.operations]
    named = device.info(precision or "float32").name if table is None else None
    model = open_cost_model(named, table, precision, operations=operations)
    with progress_of(reporter, f"measuring {len(networks)} networks on {device.name}") as show:
        return model, validate(networks, model, device, on_progress=show)


def check_on_measurements(path: Path, model: CostModel) -> Validation:
    """Sums of look-ups against a file of measured blocks or networks.

    Raises:
        UserError: the file cannot be read, or the model lacks an operation.
    """
    return compare(
        [
            predict(m.name, Network(m.name, (1, 1, 1), m.operations, (), {}), model, m.latency)
            for m in read_measurements(path)
        ]
    )
