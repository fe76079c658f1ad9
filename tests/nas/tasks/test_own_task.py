"""A task of the user's own: data sets, a loss and a score, adapted and checked."""

from __future__ import annotations

import dataclasses
import json
import random
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

import nas
from nas.cli import main
from nas.files import write_json
from nas.recipe.loading import load_experiment
from nas.recipe.tasks import open_task
from nas.tasks.base import Task
from nas.tasks.own import DatasetTask, OwnTask
from search_spaces import UserError
from supernet.share import Share


def items(count: int = 40, classes: int = 3):
    source = torch.Generator().manual_seed(0)
    images = torch.randn(count, 2, 8, 8, generator=source)
    return [(image, i % classes) for i, image in enumerate(images)]


def right(outputs, targets):
    return outputs.argmax(1) == targets


def parts(**changes) -> OwnTask:
    given = {
        "train": items(),
        "test": items(10),
        "loss": functional.cross_entropy,
        "score": right,
    }
    return OwnTask(**{**given, **changes})


def opened(own: OwnTask, seed: int = 0, holdout: float = 0.25) -> DatasetTask:
    return DatasetTask(
        "mine.py:f",
        own,
        resolution=8,
        channels=2,
        outputs=[(3, 1, 1)],
        seed=seed,
        holdout=holdout,
    )


def noisy(image, target):
    noise = torch.randn(1).item() + float(np.random.rand()) + random.random()
    return image + noise, target


def test_order_and_augmentation_are_a_function_of_seed_epoch_and_step():
    task = opened(parts(augment=noisy))
    whole = list(task.train_batches(1, 8))
    assert len(whole) == 3 and len(whole[0][0]) == 8
    torch.manual_seed(99)
    random.seed(99)
    state = torch.get_rng_state()
    later = list(task.train_batches(1, 8, start=1))
    assert torch.equal(torch.get_rng_state(), state)
    halves = [list(task.train_batches(1, 8, share=Share(i, 2))) for i in range(2)]
    for step, (images, targets) in enumerate(whole):
        if step:
            assert torch.equal(images, later[step - 1][0])
        assert torch.equal(images, torch.cat([half[step][0] for half in halves]))
        assert torch.equal(targets, torch.cat([half[step][1] for half in halves]))
    other = next(iter(task.train_batches(2, 8)))[0]
    assert not torch.equal(whole[0][0], other)


def test_processes_that_read_change_nothing():
    alone, two = opened(parts(augment=noisy)), opened(parts(augment=noisy, workers=2))
    for (a, _), (b, _) in zip(alone.train_batches(0, 8), two.train_batches(0, 8), strict=True):
        assert torch.equal(a, b)


def test_what_is_held_out_is_not_trained_on_and_not_augmented():
    data = [(torch.full((2, 8, 8), float(i)), i % 3) for i in range(40)]
    task = opened(parts(train=data, augment=lambda x, y: (x + 1000, y)))
    trained = {int(v) for x, _ in task.train_batches(0, 1) for v in x[:, 0, 0, 0] - 1000}
    held = {int(v) for x, _ in task.holdout.batches(4) for v in x[:, 0, 0, 0]}
    assert len(held) == 10 and len(trained) == 30 and not held & trained
    seen = {int(v) for x in task.calibration(12, 5) for v in x[:, 0, 0, 0]}
    assert len(seen) == 12 and seen <= trained
    assert {len(x) for x in task.calibration(12, 5)} == {4}


def test_a_holdout_by_class_and_by_group():
    classes = [0] * 32 + [1] * 8
    data = [(torch.zeros(2, 8, 8), c) for c in classes]
    task = opened(parts(train=data, stratify=classes))
    held = [int(y) for _, ys in task.holdout.batches(4) for y in ys]
    assert (held.count(0), held.count(1)) == (8, 2)
    grouped = opened(parts(groups=[f"scene {i // 10}" for i in range(40)]))
    assert len({int(i) // 10 for i in grouped.holdout.indices}) == 1
    assert len(grouped.holdout) == 10


def test_uint8_is_normalised_and_float_is_not():
    data = [(np.full((2, 8, 8), 255, np.uint8), 0)] * 8
    task = opened(parts(train=data, mean=[0.5, 0.0], std=[0.25, 1.0]))
    (images,) = task.calibration(4)
    assert torch.allclose(images[:, 0], torch.tensor(2.0))
    assert torch.allclose(images[:, 1], torch.tensor(1.0))
    assert task.mean == (0.5, 0.0) and task.std == (0.25, 1.0)
    (as_read,) = opened(parts(mean=[0.5, 0.0], std=[0.25, 1.0])).calibration(4)
    assert float(as_read.min()) < -1


class Mean:
    """A figure of a whole split."""

    def __init__(self):
        self.total = self.count = 0.0

    def update(self, outputs, targets):
        self.total += float(outputs.sum())
        self.count += len(targets)

    def compute(self):
        return {"mean": self.total / self.count, "items": self.count}


def test_scores_by_item_of_a_split_and_several():
    outputs, targets = torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 2])
    meter = opened(parts(unit="%")).meter("test")
    meter.update(outputs[:2], targets[:2])
    meter.update(outputs[2:], targets[2:])
    found = meter.evaluation()
    assert (found.score.name, found.score.value, found.images) == ("score", 2 / 3, 3)
    assert found.loss == pytest.approx(float(functional.cross_entropy(outputs, targets)))
    task = opened(parts(score=Mean(), higher_is_better=False))
    assert task.score_name == "mean"
    for _ in range(2):  # each meter starts anew
        meter = task.meter("holdout")
        meter.update(outputs, targets)
        found = meter.evaluation()
        assert found.score.value == 1.0 and found.details == {"items": 3.0}
        assert not found.score.higher_is_better


def test_it_is_a_whole_task():
    from nas.recipe.named import lacking

    assert lacking(opened(parts()), Task) == []
    assert nas.OwnTask is OwnTask


def of_targets(targets):
    return [(image, target) for (image, _), target in zip(items(8), targets, strict=True)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": 5}, "train is 5, expected a Dataset with __len__ and __getitem__"),
        ({"test": iter([])}, "test is a list_iterator, expected a Dataset with __len__"),
        ({"test": []}, "test is list of 0, expected at least one item"),
        ({"loss": "mse"}, "loss is 'mse', expected a function (outputs, targets)"),
        ({"score": None}, "score is None, expected a function (outputs, targets) or an object"),
        ({"augment": 3}, "augment is 3, expected a function or None"),
        ({"labels": "abc"}, "labels is 'abc', expected a list of names"),
        ({"labels": ["a", "b"]}, "labels is list of 2, expected 3 names, one an output channel"),
        ({"mean": [0.5]}, "mean is list of 1, expected 2 numbers, one a channel"),
        ({"std": [1.0, 0.0]}, "std is list of 2, expected numbers above 0"),
        ({"stratify": [1, 2]}, "stratify is list of 2, expected one entry for each of the 40"),
        ({"workers": -1}, "workers is -1, expected 0 or more processes"),
        ({"train": [1] * 8}, "train[0] is 1, expected (input, target)"),
        (
            {"train": [(torch.zeros(8, 8), 0)] * 8},
            "train[0]: its input is Tensor (8, 8) float32, expected a tensor (2, 8, 8) float32 or",
        ),
        (
            {"test": [(torch.zeros(2, 8, 8).double(), 0)]},
            "test[0]: its input is Tensor (2, 8, 8) float64, expected",
        ),
        (
            {"train": of_targets(["cat"] * 8)},
            "train[0]: its target is 'cat', expected a number, a tensor or an array",
        ),
        (
            {"augment": lambda image, target: image},
            "augment is Tensor (2, 8, 8) float32, expected (input, target)",
        ),
        ({"augment": lambda image, target: 1 / 0}, "augment raised ZeroDivisionError"),
        ({"train": of_targets([7] * 8)}, "loss raised IndexError: Target 7 is out of bounds. for"),
        ({"train": of_targets([0.5] * 8)}, "loss raised RuntimeError: "),
        (
            {"loss": lambda outputs, targets: outputs.sum(1)},
            "loss returned Tensor (2,) float32, expected a scalar tensor: the mean",
        ),
        ({"loss": lambda outputs, targets: outputs.detach().sum()}, "loss has no gradient"),
        (
            {"score": lambda outputs, targets: outputs.mean()},
            "score returned Tensor () float32, expected a tensor (2,): a value an item",
        ),
        ({"score": lambda outputs, targets: outputs[0, 9]}, "score raised IndexError"),
    ],
)
def test_what_is_wrong_with_a_part_is_said_before_any_work(changes, words):
    with pytest.raises(UserError) as refusal:
        opened(parts(**changes))
    said = str(refusal.value)
    assert words in said and "\n" not in said and said.startswith("task mine.py:f: ")


def test_an_item_that_does_not_fit_the_others_is_named():
    data = [(torch.zeros(2, 8, 8), torch.zeros(3 + i // 30)) for i in range(40)]
    own = parts(train=data, test=data[:4], loss=functional.mse_loss, score=lambda o, t: t[:, 0])
    task = opened(own)
    with pytest.raises(UserError, match=r"train\[3\d\]: its target is Tensor \(4,\) float32, that"):
        list(task.train_batches(0, 30))


def test_targets_that_the_loss_refuses_later_are_said_with_their_range():
    data = [(image, 9 if i > 35 else i % 3) for i, (image, _) in enumerate(items())]
    task = opened(parts(train=data), holdout=2)
    batch = next(task.train_batches(0, 38))
    with pytest.raises(UserError, match=r"Target 9 is out of bounds.*\(38,\) int64 0…9"):
        task.loss(torch.randn(38, 3), batch[1])


def test_a_data_set_that_shrinks_while_it_is_used():
    data = items()
    task = opened(parts(train=data))
    del data[30:]
    with pytest.raises(UserError, match="train has 30 items, it had 40 when the task was opened"):
        next(task.train_batches(0, 8))
    with pytest.raises(UserError, match="its own; smooth there"):
        task.loss(torch.zeros(2, 3), torch.zeros(2).long(), smoothing=0.1)


MINE = """
import torch
from torch import nn
from torch.nn import functional

import nas


def network():
    return nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))


def items(count):
    source = torch.Generator().manual_seed(1)
    return [(torch.randn(1, 8, 8, generator=source), i % 2) for i in range(count)]


def open_task(*, count: int = 60, data, resolution, channels, classes, seed, holdout):
    return nas.OwnTask(train=items(count), test=items(9), loss=functional.cross_entropy,
                       score=lambda outputs, targets: outputs.argmax(1) == targets)


def a_dict(**arguments):
    return {"train": items(9)}
"""

RECIPE = """
threads: 1
accelerator: cpu
space: {name: mine.py:network, settings: {resolution: 8}}
task: {name: mine.py:open_task, holdout: 12}
supernet: {epochs: 2, batch_size: 16, probe_epochs: 0, checkpoint_seconds: 0}
search: {metric: macs, budget: 60%}
train: {epochs: 1, batch_size: 16}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return tmp_path


def test_a_run_on_fewer_items_does_not_go_on(home, capsys):
    assert main(["train-supernet", "mine.yaml"]) == 0
    # interrupted, as far as a resume can tell
    (home / "runs" / "mine" / "supernet" / "result.json").unlink()
    capsys.readouterr()
    fewer = (home / "mine.py").read_text().replace("count: int = 60", "count: int = 50")
    (home / "mine.py").write_text(fewer)
    assert main(["train-supernet", "mine.yaml", "--resume"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "written with other data (train_images was 48, is now 38)" in said
    assert main(["search", "mine.yaml"]) == 2
    assert "trained with images that are held out here" in " ".join(capsys.readouterr().err.split())


def test_a_function_that_returns_something_else(home):
    experiment = load_experiment("mine.yaml", ["task.name=mine.py:a_dict"])
    with pytest.raises(UserError, match=r"returned dict, expected nas.OwnTask\(train, test, loss"):
        open_task(experiment)
    assert dataclasses.is_dataclass(open_task(load_experiment("mine.yaml")).parts)


def test_networks_of_another_own_task_are_not_scored(home, capsys):
    write_json(home / "all.json", load_experiment("mine.yaml").search_space().largest().to_dict())
    command = ["train", "mine.yaml", "--architecture", "all.json", "--name", "all"]
    assert main(command) == 0
    written = (home / "runs" / "mine" / "train" / "all" / "result.json").read_text()
    assert json.loads(written)["task"] == "mine.py:open_task"
    (home / "mine.py").write_text(MINE.replace("nas.OwnTask(", "nas.OwnTask(name='cats', "))
    assert main(["evaluate", "runs/mine/train/all"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search("a network of task 'mine.py:open_task', the experiment's is 'cats'", said)
