"""Step 3 for a network that a search's result is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lut.devices.host import HostDevice
from lut.validate import relative
from nas.metrics import AdditiveMetric, Metric
from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment
from nas.recipe.loading import load_experiment, with_overrides
from nas.runs.folder import RunFolder, stored_config
from nas.runs.networks import load_architecture
from nas.runs.results import TrainResult
from nas.steps.matching import Cost, baseline, baseline_kind, without_bypass
from nas.steps.network import Purpose, train_network
from nas.steps.problem import problem_of
from nas.steps.start import member_weights
from search_spaces import Architecture, Network, space_of


def train_baseline(
    experiment: Experiment,
    kind: str,
    searched: Path,
    out: Path,
    *,
    member: int | None = None,
    name: str | None = None,
    supernet: Path | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
) -> TrainResult:
    """Train a baseline that costs what a search's network costs into ``out/train/<name>``.

    Args:
        experiment: its ``train`` section says how; where the weights come from is the baseline's.
        kind: one of `nas.steps.matching.BASELINES`.
        searched: folder or result of the search; its metric is the cost.
        out: the run folder.
        member: of the search's family; by default its best.
        name: of the training; the baseline's by default.
        supernet: whose weights are pruned; by default what the search started from.
        resume: go on with what is there.
        reporter: shows progress.

    Raises:
        UserError: no such baseline or search; as `train_network`.
        Stopped: a signal came, the checkpoint is written.
    """
    chosen = choose_baseline(
        kind, searched, out, member=member, name=name, resume=resume, reporter=reporter
    )
    return train_chosen(
        experiment, chosen, out, name=name, supernet=supernet, resume=resume, reporter=reporter
    )


@dataclass(frozen=True)
class Chosen:
    """A baseline's network, the search's network that it stands beside, and what it costs."""

    kind: str
    architecture: Architecture
    searched: Path
    reference: Architecture
    metric: str
    cost: float


def choose_baseline(
    kind: str,
    searched: Path,
    out: Path,
    *,
    member: int | None = None,
    name: str | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
) -> Chosen:
    """The first half of `train_baseline`, which may measure: nothing else should run meanwhile.

    With ``resume`` the network of an interrupted training stays, which a later table or
    measurement must not change. Arguments and errors as `train_baseline`'s.
    """
    baseline_kind(kind)
    found = load_architecture(searched, member=member)
    config = load_experiment(stored_config(searched))
    metric = problem_of(config, reporter, further=[without_bypass(config.priced_space())]).metrics[
        0
    ]

    def network(architecture: Architecture) -> Network:
        """As the search's metric prices it."""
        priced = space_of(architecture)
        priced = priced.at(config.search.resolution or priced.resolution)
        return priced.describe(priced.architecture(architecture.choices))

    wanted = metric.of(network(found))
    stored = RunFolder(out).training(name or kind).architecture
    if resume and stored.exists():
        architecture = load_architecture(stored)
    else:
        architecture = baseline(
            kind,
            space_of(found),
            lambda a: metric.of(network(a)),
            wanted,
            measured=_on_this_machine(metric, network, found),
        )
    cost = metric.of(network(architecture))
    reporter.say(f"{kind}: {metric.name} {cost:.4g} {metric.unit}, wanted {wanted:.4g}")
    return Chosen(kind, architecture, searched, found, metric.name, cost)


def train_chosen(
    experiment: Experiment,
    chosen: Chosen,
    out: Path,
    *,
    name: str | None = None,
    supernet: Path | None = None,
    resume: bool = False,
    reporter: Reporter = SILENT,
) -> TrainResult:
    """The second half of `train_baseline`. Arguments and errors as there."""
    kind = baseline_kind(chosen.kind)
    if kind.weights == "inherited" and supernet is None:
        # iteration 0 of a search by fine-tuning is the network that it started from
        supernet = member_weights(chosen.searched, space_of(chosen.reference).largest())
    purpose = Purpose(
        kind.role,
        baseline={"kind": chosen.kind, "of": str(chosen.searched), "metric": chosen.metric},
        latency_predicted_ms=chosen.cost if chosen.metric.startswith("latency") else None,
    )
    return train_network(
        with_overrides(experiment, [f"train.weights={kind.weights}"]),
        chosen.architecture,
        out,
        name=name or chosen.kind,
        purpose=purpose,
        supernet=supernet,
        resume=resume,
        reporter=reporter,
    )


def _on_this_machine(
    metric: Metric, network: Callable[[Architecture], Network], found: Architecture
) -> Cost | None:
    """Measured latency as a fraction of the found network's, if it is this machine's."""
    device = metric.device if isinstance(metric, AdditiveMetric) else None
    host = HostDevice()
    if device is None or device != host.info(device.precision):
        return None
    reference = network(found)
    return lambda a: relative(network(a), reference, host, precision=device.precision)
