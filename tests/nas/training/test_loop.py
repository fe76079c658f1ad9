from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.recipe.experiment import Training
from nas.runs import checkpoints as files
from nas.runs.checkpoints import Checkpoint
from nas.runs.folder import StepFolder
from nas.tasks.in_memory import InMemoryClassification
from nas.training.device import is_out_of_memory
from nas.training.evaluation import evaluate
from nas.training.interrupt import Stopped
from nas.training.loop import Trainer
from nas.training.passes import single_pass
from search_spaces import UserError


def small_task() -> InMemoryClassification:
    """Bright and dark images: learned in a few steps."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 2
    images = (
        torch.randint(0, 100, (120, 8, 8, 1), generator=generator)
        + 100 * labels[:, None, None, None]
    )
    data = (images.to(torch.uint8), labels)
    return InMemoryClassification(
        "small",
        data,
        data,
        labels=["dark", "bright"],
        classes=2,
        seed=0,
        holdout=0.2,
        padding=1,
        flip=True,
    )


def small_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(4, 2),
    )


def trainer(folder: Path, passes=single_pass, forwards=1, **settings: object) -> Trainer:
    task = small_task()
    fields = {"epochs": 3, "batch_size": 8, "lr": 0.05, "warmup_epochs": 1, **settings}

    def probe(module):
        return {"network": evaluate(module, task, task.holdout)}

    return Trainer(
        small_module(),
        task,
        Training(**fields),
        folder,
        seed=0,
        passes=passes,
        forwards=forwards,
        probe=probe,
        probe_epochs=1,
    )


def weights(trained: Trainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trained.trained.state_dict().items()}


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_it_learns_and_keeps_the_last_and_the_best(tmp_path):
    run = trainer(tmp_path)
    state = run.run()
    assert [entry["epoch"] for entry in state.history] == [1, 2, 3]
    assert state.best == max(entry["scores"]["network"] for entry in state.history) > 90
    assert state.updates == 3 * run.steps == 36
    assert_equal(files.load(StepFolder(tmp_path).last, "training").section("model"), weights(run))
    assert (StepFolder(tmp_path).best).is_file() and list(tmp_path.glob("events*"))


@pytest.mark.parametrize(
    ("stop", "settings"),
    [
        (1, {"optimizer": "sgd"}),
        (12, {"optimizer": "sgd"}),
        (20, {"optimizer": "adamw", "ema": 0.9, "clip_norm": 1.0}),
        (35, {"optimizer": "rmsproptf"}),
    ],
)
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, settings, stop):
    whole = trainer(tmp_path / "whole", **settings)
    whole_state = whole.run()
    seen = 0

    def signalled(module, images, targets, position):
        nonlocal seen
        seen += 1
        if seen == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        yield from single_pass(module, images, targets, position)

    part = trainer(tmp_path / "part", signalled, **settings)
    with pytest.raises(Stopped, match="SIGTERM") as stopped:
        part.run()
    assert stopped.value.exit_code == 143
    rest = trainer(tmp_path / "part", **settings)
    state = rest.run(resume=True)
    assert_equal(weights(rest), weights(whole))
    assert state.history == whole_state.history


def test_a_loss_that_is_not_finite_changes_nothing_is_counted_and_limited(tmp_path):
    def poisoned(module, images, targets, position):
        if position.step == 2:
            images = images * float("inf")
        yield from single_pass(module, images, targets, position)

    run = trainer(tmp_path / "some", poisoned)
    state = run.run()
    assert (state.skipped, state.updates) == (3, 33)
    assert all(torch.isfinite(v).all() for v in weights(run).values())
    with pytest.raises(UserError, match=r"not finite in 2 steps.*lr"):
        trainer(tmp_path / "many", poisoned, nonfinite_limit=1).run()


def test_a_gradient_that_is_not_finite_ends_the_run_and_spares_the_checkpoint(tmp_path):
    def poisoned(module, images, targets, position):
        for outputs, wanted, weight in single_pass(module, images, targets, position):
            if (position.epoch, position.step) == (1, 2):
                outputs.register_hook(lambda gradient: gradient * float("inf"))
            yield outputs, wanted, weight

    with pytest.raises(UserError, match=r"no longer finite at epoch 2, step 4.*clip_norm"):
        trainer(tmp_path / "run", poisoned).run()
    again = trainer(tmp_path / "run")
    state = again.run(resume=True)
    assert state.updates == 36
    assert all(torch.isfinite(v).all() for v in weights(again).values())


def test_out_of_memory_says_what_to_lower(tmp_path):
    def hungry(module, images, targets, position):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(UserError, match=r"with 4 images at once.*accumulate = 4.*batch_size \(8\)"):
        trainer(tmp_path, hungry, accumulate=2).run()
    # what torch says of a machine's own memory
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_out_of_memory(error.value)


def test_several_passes_add_up_to_one_gradient(tmp_path):
    def halves(module, images, targets, position):
        for _ in range(2):
            yield module(images), targets, 0.5

    module = trainer(tmp_path / "a", epochs=1)
    twice = trainer(tmp_path / "b", halves, forwards=2, epochs=1)
    for run in (module, twice):
        run.updater.module[5].p = 0.0
        run.updater.module[1].momentum = 0.0
        run.run()
    for a, b in zip(
        module.updater.module.parameters(), twice.updater.module.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    trainer(tmp_path, epochs=1).run()
    with pytest.raises(UserError, match="other settings"):
        trainer(tmp_path, epochs=2).run(resume=True)


def test_settings_that_cannot_work_are_refused(tmp_path):
    with pytest.raises(UserError, match="larger than the 96 training images"):
        trainer(tmp_path, batch_size=500)
    with pytest.raises(UserError, match="optimizer 'sdg'"):
        trainer(tmp_path, optimizer="sdg")


# checkpoints --------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_checkpoint_before_whole(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    files.save(path, Checkpoint("training", {"x": torch.ones(3)}, {"step": 1}))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"disk is full.*whole.*--resume"):
        files.save(path, Checkpoint("training", {"x": torch.zeros(3)}, {"step": 2}))
    stored = files.load(path, "training")
    assert stored.state == {"step": 1} and torch.equal(stored.tensors["x"], torch.ones(3))
    assert [f.name for f in tmp_path.iterdir()] == [path.name]


def test_broken_and_foreign_files_are_refused_in_one_line(tmp_path):
    from safetensors.torch import save_file

    whole = tmp_path / "whole.safetensors"
    files.save(whole, Checkpoint("training", {"x": torch.ones(3)}, {}))
    broken = tmp_path / "broken.safetensors"
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.ones(3)}, foreign)
    content = whole.read_bytes()
    for data in (content[:-4], content[:20], b"", b"\x80\x02pickle", json.dumps({}).encode()):
        broken.write_bytes(data)
        with pytest.raises(UserError, match=r"broken\.safetensors: not a safetensors") as refusal:
            files.load(broken, "training")
        assert "\n" not in str(refusal.value)
    for path, kind, words in (
        (foreign, "training", "none of ours"),
        (whole, "network", "holds a training, expected a network"),
        (tmp_path / "nowhere", "network", "no such file"),
    ):
        with pytest.raises(UserError, match=words):
            files.load(path, kind)


def test_weights_of_another_network_say_which_tensor_differs():
    module = small_module()
    tensors = dict(module.state_dict())
    tensors["6.weight"] = torch.zeros(3, 4)
    with pytest.raises(UserError, match=r"6\.weight is \[3, 4\] in the file, \[2, 4\] here"):
        files.load_module(module, tensors, where="file")
    del tensors["6.weight"]
    with pytest.raises(UserError, match=r"6\.weight is missing"):
        files.load_module(module, tensors, where="file")
