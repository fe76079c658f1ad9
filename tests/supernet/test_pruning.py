import random

import pytest
import torch

from nas.tracing import space_from_model
from search_spaces import space
from supernet import CompactNetwork, Supernet, extract
from supernet.pruning import labels_of, reorder, shrink

SPACES = {
    "mobilenet_v1": {"resolution": 32, "multiplier": 0.25, "bypass": False},
    "mobilenet_v2": {"resolution": 32, "multiplier": 0.35, "bypass": False},
    "mobilenet_v3_small": {"resolution": 32, "multiplier": 0.5},
    "fastdepth": {"resolution": 32, "multiplier": 0.25, "bypass": False},
    "mobilenet_v3_tiny": {"resolution": 16, "bypass": True},
}


def randomised(network):
    """Every tensor of a network drawn anew, so that no two channels are alike."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.copy_(drawn + 0.1 if "running_var" in name else drawn - 0.5)
    return network.double().eval()


def images(found):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, *found.input_shape, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module", params=[*SPACES, "traced"])
def found(request):
    if request.param != "traced":
        return space(request.param, **SPACES[request.param])

    class Mixed(torch.nn.Module):
        """Grouped convolution, concatenation, and a linear layer on a flattened map."""

        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 32, 3, padding=1)
            self.grouped = torch.nn.Conv2d(32, 32, 3, padding=1, groups=4)
            self.norm = torch.nn.BatchNorm2d(32)
            self.other = torch.nn.Conv2d(32, 16, 1)
            self.last = torch.nn.Conv2d(48, 24, 3, stride=2, padding=1)
            self.classifier = torch.nn.Linear(24 * 16, 5)

        def forward(self, x):
            x = torch.relu(self.first(x))
            y = torch.relu(self.norm(self.grouped(x))) + x
            x = torch.cat([y, torch.relu(self.other(y))], 1)
            return self.classifier(torch.relu(self.last(x)).flatten(1))

    return space_from_model(Mixed().eval(), 8, name="mixed")[0]


def test_sorted_channels_compute_the_same(found):
    source = random.Random(0)
    for architecture in (found.largest(), found.random(source, low=0.5)):
        network = randomised(CompactNetwork(found.describe(architecture)))
        x = images(found)
        expected = network(x)
        before = {name: t.clone() for name, t in network.state_dict().items()}
        reorder(network, found)
        assert any(not torch.equal(before[n], t) for n, t in network.state_dict().items())
        torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)


def test_the_last_channel_of_a_group_is_the_smallest(found):
    network = randomised(CompactNetwork(found.describe(found.largest())))
    reorder(network, found)
    tensors, groups = labels_of(network.network, found)
    checked = 0
    for root, sources in groups.members().items():
        widths = {groups.width[s] for s in sources}
        blocks = max(groups.block[s] for s in sources)
        if len(widths) > 1 or any(s in groups.fixed for s in sources):
            continue
        total = torch.zeros(widths.pop(), dtype=torch.float64)
        for operation in network.network.operations:
            label = tensors[operation.name][0]
            if (
                operation.type in ("conv", "linear")
                and not operation.depthwise
                and label is not None
                and groups.root(label[0]) == root
            ):
                layer = network.layer(operation.name)
                weight = layer.conv.weight if operation.type == "conv" else layer.linear.weight
                total += weight.detach().flatten(1).norm(dim=1)
        sums = total.view(-1, blocks).sum(1)
        assert (sums[:-1] >= sums[1:] - 1e-12).all()
        checked += 1
    assert checked


def test_shrinking_keeps_what_extraction_keeps(found):
    """Largest → middle → small by shrinking equals small taken from the shared weights."""
    supernet = randomised(Supernet(found))
    source = random.Random(0)
    for _ in range(5):
        middle = found.random(source, low=0.5)
        values = {
            name: source.choice([v for v in choice.values if v <= middle[name]])
            for name, choice in found.choices.items()
        }
        small = found.architecture(found.canonical(values))
        if any(small[name] > middle[name] for name in small):
            continue  # a dead choice went back to its largest value
        network = shrink(extract(supernet, middle), found.describe(small))
        expected = extract(supernet, small)
        for name, tensor in expected.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], tensor, rtol=0, atol=0)
        torch.testing.assert_close(network(images(found)), expected(images(found)))
