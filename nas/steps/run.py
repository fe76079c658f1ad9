"""The three steps in turn."""

from __future__ import annotations

from pathlib import Path

from nas.progress import SILENT, Reporter
from nas.recipe.experiment import Experiment
from nas.runs.folder import RunFolder
from nas.runs.networks import load_chosen
from nas.runs.results import RunResult, SearchResult, SupernetResult, TrainResult
from nas.steps.common import encoder_seconds
from nas.steps.network import Purpose, train_network
from nas.steps.search import search, trains_first
from nas.steps.start import member_weights
from nas.steps.supernet import train_supernet
from nas.training.distributed import refuse_ranks


def run(
    experiment: Experiment, out: Path, *, resume: bool = False, reporter: Reporter = SILENT
) -> RunResult:
    """The three steps in turn; ``out/result.json`` sums them up.

    Step 1 is left out where a search by fine-tuning starts from a network that is trained already.

    Raises:
        UserError: as the steps.
        Stopped: a signal came; go on with ``resume``.
    """
    refuse_ranks("nas run", "start its steps one by one (docs/imagenet.md)")
    folder = RunFolder(out)
    first = None
    if trains_first(experiment):
        reporter.say("step 1: the super-network")
        first = train_supernet(experiment, out, resume=resume, reporter=reporter)
    reporter.say("step 2: the search")
    second = search(experiment, out, resume=resume, reporter=reporter)
    reporter.say("step 3: the discovered network")
    searched = folder.search().result
    architecture, role = load_chosen(searched)
    third = train_network(
        experiment,
        architecture,
        out,
        purpose=Purpose(role),
        supernet=member_weights(searched, architecture),
        resume=resume,
        reporter=reporter,
    )
    result = _sum(first, second, third)
    result.write(folder.result)
    return result


def _sum(first: SupernetResult | None, second: SearchResult, third: TrainResult) -> RunResult:
    """What the steps came to together."""
    seconds = {
        **encoder_seconds(first, third),
        **({"supernet": first.seconds} if first is not None else {}),
        "search": second.seconds["search"],
        "train": third.seconds,
    }
    return RunResult(
        experiment=third.experiment,
        task=third.task,
        seed=third.seed,
        threads=third.threads,
        accelerator=third.accelerator,
        version=third.version,
        torch=third.torch,
        seconds=seconds,
        device_hours=sum(seconds.values()) / 3600,
        score=third.score,
        architecture=third.architecture,
        macs=third.macs,
        params=third.params,
    )
