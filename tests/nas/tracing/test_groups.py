"""Which widths change together, one structural situation a test."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.tracing import space_from_model
from search_spaces import SearchSpace


def space_of_module(model: nn.Module, resolution: int = 16) -> SearchSpace:
    return space_from_model(model, resolution)[0]


def widths(space: SearchSpace) -> dict[str, tuple[int, ...]]:
    return {name: choice.values for name, choice in space.choices.items()}


class Chain(nn.Module):
    """Layers in a row, named by their position."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        for i, layer in enumerate(layers):
            self.add_module(f"l{i}", layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def test_widths_are_multiples_of_eight_with_the_largest() -> None:
    space = space_of_module(Chain(nn.Conv2d(3, 20, 1), nn.Conv2d(20, 4, 1)))
    assert widths(space) == {"l0.width": (8, 16, 20)}


def test_additions_tie_across_stages() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(i, 16, 1) for i in (3, 16, 16))
            self.last = nn.Conv2d(16, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            y = x + self.b(x)
            return self.last(y + self.c(y))

    space = space_of_module(Residual())
    assert widths(space) == {"a.width": (8, 16)}
    assert [(u.name, u.residual) for u in space.units] == [("a", True), ("b", True), ("c", True)]


def test_depthwise_follows_its_input_and_one_channel_is_dense() -> None:
    space = space_of_module(
        Chain(
            nn.Conv2d(1, 16, 1),
            nn.Conv2d(16, 16, 3, groups=16),
            nn.Conv2d(16, 1, 1),
            nn.Conv2d(1, 24, 3),
            nn.Conv2d(24, 2, 1),
        )
    )
    assert widths(space) == {"l0.width": (8, 16), "l3.width": (8, 16, 24)}
    operations = space.describe(space.smallest()).operations
    assert [o.depthwise for o in operations] == [False, True, False, False, False]
    assert [o.output_shape[0] for o in operations] == [8, 8, 1, 8, 2]


def test_grouped_convolution_keeps_whole_groups() -> None:
    space = space_of_module(
        Chain(nn.Conv2d(3, 48, 1), nn.Conv2d(48, 96, 3, groups=4), nn.Conv2d(96, 2, 1))
    )
    # 12 channels a group and multiples of 8: of 24
    assert widths(space) == {"l0.width": (24, 48)}
    grouped = space.describe(space.smallest()).operations[1]
    assert (grouped.groups, grouped.input_shapes[0][0], grouped.output_shape[0]) == (2, 24, 48)


def test_grouped_convolution_that_narrows_stays() -> None:
    space = space_of_module(
        Chain(
            nn.Conv2d(3, 48, 1),
            nn.Conv2d(48, 32, 3, groups=4),
            nn.Conv2d(32, 16, 1),
            nn.Conv2d(16, 2, 1),
        )
    )
    assert list(widths(space)) == ["l2.width"]


def test_concatenation_keeps_offsets_and_adds_that_do_not_match_stay() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(3, n, 1) for n in (16, 24, 40))
            self.d = nn.Conv2d(3, 40, 1)
            self.norm = nn.BatchNorm2d(40)
            self.last = nn.Conv2d(40, 2, 1)
            self.other = nn.Conv2d(40, 2, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            pair = F.relu(self.norm(torch.cat([self.a(x), self.b(x)], 1)))
            return self.last(pair), self.other(self.c(x) + self.d(x))

    space = space_of_module(Branches())
    assert list(widths(space)) == ["a.width", "b.width", "c.width"]
    network = space.describe({"a.width": 8, "b.width": 16, "c.width": 40})
    assert network.kept["norm"] == ((0, 8), (16, 32))

    class Mixed(Branches):
        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            pair = torch.cat([self.a(x), self.b(x)], 1)
            return self.last(F.relu(self.d(x))) + self.other(self.c(x) + pair)

    assert list(widths(space_of_module(Mixed()))) == ["d.width"]


def test_flatten_and_gate_follow_their_group() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 16, 1)
            self.squeeze, self.expand = nn.Linear(16, 8), nn.Linear(8, 16)
            self.last = nn.Linear(16 * 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            gate = torch.sigmoid(self.expand(F.relu(self.squeeze(x.mean((2, 3))))))
            x = F.max_pool2d(x * gate[:, :, None, None], 8)
            return self.last(x.reshape(x.size(0), -1))

    space = space_of_module(Flat())
    assert widths(space) == {"a.width": (8, 16)}
    last = space.describe(space.smallest()).operations[-1]
    assert last.input_shapes == ((32, 1, 1),)


def test_input_and_outputs_stay() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(i, 16, 1) for i in (3, 16, 16))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            a = self.a(x)
            return {"coarse": F.avg_pool2d(a, 2), "fine": self.c(F.relu(self.b(a)))}

    space = space_of_module(Features())
    assert list(widths(space)) == ["b.width"]
    assert space.describe(space.smallest()).output_shapes == ((16, 8, 8), (16, 16, 16))
