import json

import pytest
import torch

from nas.metrics import macs
from nas.optimizers import Candidate, Problem, optimizer
from nas.runs.weights import load_network
from nas.search import CandidateFailed, FineTuning, SharedWeights, run_search
from nas.tasks.in_memory import InMemoryClassification
from search_spaces import UserError, space
from supernet import CompactNetwork, Supernet, extract, recalibrate

TUNING = {
    "steps": 500,
    "lr": 0.001,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "batch_size": 32,
    "recalibration_images": 0,
}


@pytest.fixture(scope="module")
def task():
    """Four classes of 16 px images that differ in brightness."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(480) % 4
    noise = torch.randint(0, 120, (480, 16, 16, 3), generator=generator)
    pixels = (noise + 40 * labels[:, None, None, None]).to(torch.uint8)
    return InMemoryClassification(
        "brightness",
        (pixels, labels),
        (pixels[:8], labels[:8]),
        labels=["a", "b", "c", "d"],
        classes=4,
        seed=0,
        holdout=0.25,
        padding=1,
        flip=True,
    )


def test_shared_weights_score_the_recalibrated_compact_network(task):
    tiny = space("mobilenet_v3_tiny", resolution=16, classes=4)
    torch.manual_seed(0)
    supernet = Supernet(tiny)
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    evaluator = SharedWeights(supernet, task, recalibration_images=200)
    for share in (1.0, 0.5):
        architecture = tiny.scaled(share)
        found = evaluator.evaluate(Candidate(1, 0, architecture))
        network = extract(supernet, architecture)
        recalibrate(network, task.calibration(200, 128))
        network.eval()
        images, labels = (torch.cat(parts) for parts in zip(*task.holdout.batches(7), strict=True))
        with torch.inference_mode():
            outputs = network(images)
        expected = torch.nn.functional.cross_entropy(outputs, labels)
        assert found.loss == pytest.approx(float(expected), rel=1e-5)
        right = int((outputs.argmax(1) == labels).sum())
        assert found.score == 100 * right / len(labels)
        assert found.seconds > 0
    after = supernet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_network_without_a_finite_score_failed(task):
    tiny = space("mobilenet_v3_tiny", resolution=16, classes=4)
    supernet = Supernet(tiny)
    with torch.no_grad():
        next(iter(supernet.parameters())).fill_(float("inf"))
    with pytest.raises(CandidateFailed, match="hold-out"):
        SharedWeights(supernet, task).evaluate(Candidate(1, 0, tiny.largest()))


def pretrained(task):
    small = space("mobilenet_v1", resolution=16, classes=4, multiplier=0.25, bypass=False)
    torch.manual_seed(0)
    network = CompactNetwork(small.describe(small.largest()))
    recalibrate(network, task.calibration(128, 64))
    return small, network


def netadapt(small, task, folder, *, resume=False, **settings):
    metric = macs(small)
    budget = 0.72 * metric.of(small.describe(small.largest()))
    problem = Problem(small, (metric,), {"macs": budget})
    _, network = pretrained(task)
    evaluator = FineTuning(network, small, task, folder, **{**TUNING, **settings})
    search = optimizer("netadapt", problem, initial_reduction=0.12, decay=0.95)
    return run_search(search, evaluator, folder, resume=resume)


def test_netadapt_carries_the_winners_weights(task, tmp_path):
    small, network = pretrained(task)
    result = netadapt(small, task, tmp_path, steps=3)
    assert result.best is not None and len(result.family) >= 3
    for member in result.family:
        stored = load_network(tmp_path / "weights" / f"{member.iteration}.safetensors")
        assert stored.architecture == member.architecture
        meter = task.meter("holdout")
        with torch.inference_mode():
            for images, labels in task.holdout.batches(64):
                meter.update(stored.module(images), labels)
        assert meter.evaluation().score.value == member.score.value
    # the search starts from the network as it was given
    meter = task.meter("holdout")
    with torch.inference_mode():
        for images, labels in task.holdout.batches(64):
            meter.update(network.eval()(images), labels)
    assert meter.evaluation().score.value == result.family[0].score.value
    assert not list((tmp_path / "candidates").rglob("*.safetensors"))


def test_a_stopped_netadapt_goes_on_from_its_weights(task, tmp_path, monkeypatch):
    small, _ = pretrained(task)
    whole = netadapt(small, task, tmp_path / "whole", steps=2)
    evaluate, count = FineTuning.evaluate, 0

    def dies(self, candidate):
        nonlocal count
        count += 1
        if count == 6:
            raise KeyboardInterrupt
        return evaluate(self, candidate)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuning, "evaluate", dies)
        with pytest.raises(KeyboardInterrupt):
            netadapt(small, task, tmp_path / "cut", steps=2)
    resumed = netadapt(small, task, tmp_path / "cut", steps=2, resume=True)
    assert list(resumed.family) == list(whole.family)
    for iteration in range(len(whole.family)):
        one, two = (
            load_network(tmp_path / name / "weights" / f"{iteration}.safetensors").module
            for name in ("whole", "cut")
        )
        assert all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))


def test_fine_tuning_that_diverges_is_dropped_and_counted(task, tmp_path):
    small, _ = pretrained(task)
    result = netadapt(small, task, tmp_path, steps=4, lr=1e30)
    data = json.loads((tmp_path / "result.json").read_text())
    assert data["failures"] == result.failures > 1 and data["evaluations"] == 1
    assert "candidates failed" in data["stopped"] and data["best"] is None
    assert len(data["family"]) == 1


def test_recalibration_needs_batch_norm(task, tmp_path):
    small, network = pretrained(task)
    network.layers = torch.nn.ModuleDict()
    with pytest.raises(UserError, match="no batch normalisation"):
        FineTuning(network, small, task, tmp_path, **{**TUNING, "recalibration_images": 10})
