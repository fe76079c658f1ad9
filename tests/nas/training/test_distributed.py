"""Several ranks train as one process does, fail together and stop together."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.cli import main
from nas.recipe.experiment import Training
from nas.runs import checkpoints as files
from nas.runs.folder import StepFolder
from nas.steps.supernet import subnetwork_passes
from nas.tasks.digits import digits
from nas.training.distributed import Ranks, joined
from nas.training.interrupt import Stopped
from nas.training.loop import Trainer
from search_spaces import UserError, space
from supernet import Supernet
from supernet.share import Share
from supernet.strategies import strategy

CPU = torch.device("cpu")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def processes(count: int, action: Callable[[int], int]) -> list[int | None]:
    """Run an action in processes that can meet as torchrun's do; their exit codes."""
    port = free_port()

    def process(rank: int) -> None:
        torch.set_num_threads(1)
        os.environ |= {
            "RANK": str(rank),
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        os._exit(action(rank))

    context = multiprocessing.get_context("fork")
    started = [context.Process(target=process, args=(rank,)) for rank in range(count)]
    for one in started:
        one.start()
    for one in started:
        one.join()
    return [one.exitcode for one in started]


def on_ranks(count: int, action: Callable[[Ranks], None]) -> list[int | None]:
    """The same for processes that have met."""

    def met(rank: int) -> int:
        try:
            with joined(CPU) as ranks:
                action(ranks)
        except UserError as error:
            print(f"rank {rank}: {error}", file=sys.stderr)
            return 2
        except SystemExit as error:
            return int(str(error.code))
        except Stopped as error:
            return error.exit_code
        return 0

    return processes(count, met)


def command(arguments: list[str]) -> int:
    """The exit status of a command, also where it ends by itself."""
    try:
        return main(arguments)
    except SystemExit as error:
        return int(str(error.code))


def trainer(
    folder: Path, ranks: Ranks, *, name: str, accumulate: int = 1, poison: int = -1, **settings
) -> Trainer:
    """One update of a small super-network; ``poison`` names the rank whose loss is no number."""
    tiny = space("mobilenet_v3_tiny", resolution=16, channels=1, multiplier=0.5)
    task = digits(data=None, resolution=16, channels=1, classes=10, seed=0, holdout=0.1)
    plan = strategy(name, **({"groups": 8, "widen": 0.0} if name == "ordered_dropout" else {}))
    drawn = subnetwork_passes(plan, 0)

    def passes(module, images, targets, position):
        if ranks.rank == poison and position.step == 0:
            images = images * float("nan")
        return drawn(module, images, targets, position)

    torch.manual_seed(0)
    fields = {
        "epochs": 1,
        "steps_per_epoch": 1,
        "batch_size": 32,
        "lr": 0.1,
        "weight_decay": 0.0,
        "warmup_epochs": 0,
        **settings,
    }
    return Trainer(
        Supernet(tiny),
        task,
        Training(accumulate=accumulate, **fields),
        folder,
        seed=0,
        passes=passes,
        forwards=plan.forwards,
        ranks=ranks,
    )


def section(folder: Path, prefix: str, *, running: bool = True) -> torch.Tensor:
    """All tensors of a checkpoint's section as one vector, without running statistics if wanted."""
    stored = files.load(StepFolder(folder).last, "training").section(prefix)
    counted = ("running_mean", "running_var", "num_batches_tracked")
    names = [name for name in sorted(stored) if running or not name.endswith(counted)]
    return torch.cat([stored[name].flatten().double() for name in names])


@pytest.mark.parametrize(
    ("name", "whole", "parts"),
    [
        # groups have their own statistics: any number of parts is the whole batch
        ("ordered_dropout", (1, 1), (2, 1)),
        ("ordered_dropout", (1, 1), (2, 2)),
        # statistics of a part: the same parts, on two ranks or one after another
        ("sandwich", (1, 2), (2, 1)),
        ("largest", (1, 4), (2, 2)),
    ],
)
def test_ranks_and_accumulation_give_the_gradients_of_one_process(tmp_path, name, whole, parts):
    for folder, (count, accumulate) in (("whole", whole), ("parts", parts)):

        def train(ranks, folder=folder, accumulate=accumulate):
            trainer(tmp_path / folder, ranks, name=name, accumulate=accumulate).run()

        if count == 1:
            train(Ranks())
        else:
            assert on_ranks(count, train) == [0] * count
    # after one step of SGD with momentum, the optimizer's state is the gradient; running
    # statistics are moved once a part of this rank
    same_moves = whole[1] == parts[1]
    for prefix in ("optimizer", "model"):
        a, b = (section(tmp_path / f, prefix, running=same_moves) for f in ("parts", "whole"))
        assert b.norm() > 0
        assert (a - b).norm() <= 1e-5 * b.norm(), prefix


def test_the_parts_of_a_batch_hold_its_subnetworks_and_images():
    tiny = Supernet(space("mobilenet_v3_tiny", resolution=16, channels=1, multiplier=0.5))
    plan = strategy("ordered_dropout", groups=8, widen=0.0)
    whole = plan.assignment(tiny, 32, 1.0, random.Random(5)).groups
    parts = [plan.assignment(tiny, 8, 1.0, random.Random(5), Share(i, 4)).groups for i in range(4)]
    assert sum(parts, ()) == whole and len(set(map(str, whole))) > 4
    task = digits(data=None, resolution=16, channels=1, classes=10, seed=0, holdout=0.1)
    images, targets = next(task.train_batches(3, 32))
    halves = [next(task.train_batches(3, 32, share=Share(i, 2))) for i in range(2)]
    assert torch.equal(torch.cat([x for x, _ in halves]), images)
    assert torch.equal(torch.cat([y for _, y in halves]), targets)
    with pytest.raises(UserError, match="8 groups cannot be dealt to the 3 parts"):
        plan.assignment(tiny, 8, 1.0, random.Random(5), Share(0, 3))


def test_a_loss_that_is_no_number_on_one_rank_is_skipped_on_all(tmp_path):
    def train(ranks):
        run = trainer(
            tmp_path / "run", ranks, name="ordered_dropout", poison=1, steps_per_epoch=3, ema=0.5
        )
        run.run()
        weights = torch.cat([v.flatten().double() for v in run.trained.state_dict().values()])
        found = {"skipped": run.state.skipped, "weights": weights.tolist()}
        (tmp_path / f"{ranks.rank}.json").write_text(json.dumps(found))

    assert on_ranks(2, train) == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["skipped"] == second["skipped"] == 1
    assert first["weights"] == second["weights"]
    assert torch.isfinite(torch.tensor(first["weights"])).all()


def test_a_signal_to_one_rank_stops_all_after_the_same_step_and_they_go_on(tmp_path):
    settings = {"name": "ordered_dropout", "steps_per_epoch": 4}

    def stopped(ranks):
        run = trainer(tmp_path / "part", ranks, **settings)
        if ranks.rank == 1:
            drawn = run.updater.passes

            def passes(module, images, targets, position):
                if position.step == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                return drawn(module, images, targets, position)

            run.updater.passes = passes
        run.run()

    assert on_ranks(2, stopped) == [143, 143]
    assert files.load(StepFolder(tmp_path / "part").last, "training").state["progress"]["step"] in (
        2,
        3,
    )
    for folder in ("part", "whole"):
        ends = on_ranks(
            2, lambda ranks, f=folder: trainer(tmp_path / f, ranks, **settings).run(resume=True)
        )
        assert ends == [0, 0]
    for prefix in ("model", "optimizer"):
        assert torch.equal(section(tmp_path / "part", prefix), section(tmp_path / "whole", prefix))


def test_what_fails_on_one_rank_ends_all_and_the_first_one_says_why(tmp_path, capfd):
    def fails(ranks):
        def action():
            if ranks.rank == 1:
                raise UserError("no such folder")

        ranks.everywhere(action)

    assert on_ranks(2, fails) == [2, 2]
    assert capfd.readouterr().err.splitlines() == ["rank 0: rank 1: no such folder"]

    def differ(ranks):
        lr = 0.1 * (1 + ranks.rank)
        trainer(tmp_path, ranks, name="largest", lr=lr).run()

    assert on_ranks(2, differ) == [2, 2]
    words = "settings.lr is 0.2 on rank 1 and 0.1 on rank 0"
    assert words in capfd.readouterr().err
    with pytest.raises(UserError, match="32 is not a multiple of 1 ranks × accumulate = 5"):
        trainer(tmp_path, Ranks(), name="largest", accumulate=5)


def test_a_rank_that_dies_ends_the_others_with_a_word_on_how_to_go_on(tmp_path, capfd):
    def dies(ranks):
        run = trainer(tmp_path, ranks, name="largest", steps_per_epoch=4)
        if ranks.rank == 1:
            run.updater.passes = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        run.run()

    assert on_ranks(2, dies) == [2, -signal.SIGKILL]
    assert "another rank has ended" in capfd.readouterr().err


# through the entry point ------------------------------------------------------------------------

SETTINGS = [
    "--set=space.settings.multiplier=0.5",
    "--set=threads=1",
    "--set=search.recalibration_images=64",
    *(f"--set={step}.{key}={value}" for step in ("supernet", "train") for key, value in (
        ("epochs", 1), ("steps_per_epoch", 2), ("batch_size", 64), ("weight_decay", 0.0),
    )),
]  # fmt: skip


def test_the_command_runs_under_torchrun_as_in_one_process(tmp_path, capfd):
    arguments = ["train-supernet", "digits_quickstart", *SETTINGS]
    assert main([*arguments, f"--out={tmp_path / 'one'}"]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    launcher += ["--master-addr=127.0.0.1", f"--master-port={free_port()}", "-m", "nas"]
    done = subprocess.run(
        [*launcher, *arguments, f"--out={tmp_path / 'two'}", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["devices"] == 2 and result["memory_bytes"] > 0 and len(result["scores"]) == 4
    weights = "supernet/weights.safetensors"
    one, two = (files.load(tmp_path / n / weights, "supernet").tensors for n in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)


def test_ranks_that_are_started_differently_or_for_a_search_are_refused(tmp_path, capfd):
    common = ["digits_quickstart", *SETTINGS, f"--out={tmp_path / 'run'}"]
    train = ["train-supernet", *common]
    assert processes(2, lambda rank: command([*train, f"--set=seed={rank}"])) == [2, 2]
    expected = "nas: seed is 1 on rank 1 and 0 on rank 0; start all ranks alike"
    assert capfd.readouterr().err.splitlines() == [expected]
    assert not (tmp_path / "run").exists()
    assert processes(2, lambda rank: command(["search", *common])) == [2, 2]
    (line,) = capfd.readouterr().err.splitlines()
    assert "does not run under torchrun; use --workers N" in line
