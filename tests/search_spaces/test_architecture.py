"""Architectures: canonical, stored and read back, refused where they do not fit."""

from __future__ import annotations

import copy
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

import search_spaces
from search_spaces import Architecture, Network, SearchSpace, UserError, names, space, space_of
from search_spaces.storage import graph_from_dict
from tests.search_spaces.toys import TOYS

ASSETS = Path(__file__).parents[1] / "assets"
# MACs, parameters and operations of the stored files, as they were when they were stored
PLAIN = (4_173_808, 21_090, 47)
EMBEDDED = (18_432, 975)


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


@pytest.fixture
def tiny() -> SearchSpace:
    return space("mobilenet_v3_tiny")


def test_dead_choices_hold_their_largest_value(tiny: SearchSpace) -> None:
    gone = {**tiny.largest(), "stage2.block2.width": 0}
    a = tiny.architecture({**gone, "stage2.block2.expansion": 8, "stage2.block2.kernel": 3})
    b = tiny.architecture({**gone, "stage2.block2.expansion": 48})
    assert a == b and hash(a) == hash(b)
    assert (a["stage2.block2.expansion"], a["stage2.block2.kernel"]) == (96, 5)
    assert tiny.describe(a).operations == tiny.describe(gone).operations


def test_the_order_of_choices_in_a_file_does_not_matter(tiny: SearchSpace) -> None:
    a = tiny.random(random.Random(0))
    data = a.to_dict()
    data["choices"] = dict(reversed(data["choices"].items()))
    b = Architecture.from_dict(data)
    assert a == b and hash(a) == hash(b) and len({a, b}) == 1


@pytest.mark.parametrize("name", [*names(), *TOYS])
def test_round_trips(name: str, tmp_path: Path) -> None:
    of = space(name, resolution=64) if name in names() else TOYS[name]()
    found = of.random(random.Random(3))
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(found.to_dict()))
    for again in (Architecture.load(path), copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert again == found and hash(again) == hash(found)
        assert space_of(again).fingerprint == of.fingerprint
        assert space_of(again).describe(again) == of.describe(found)
    network = of.describe(found)
    assert Network.from_dict(through_json(network.to_dict())) == network

    stored = of.to_dict()
    assert through_json(stored) == stored
    graph = graph_from_dict(stored)
    assert graph.fingerprint == of.fingerprint
    assert (graph.nodes, dict(graph.choices), graph.units) == (of.nodes, dict(of.choices), of.units)
    # an architecture of the stored graph carries it, and equals itself once read back
    embedded = graph.architecture(found.choices)
    again = Architecture.from_dict(through_json(embedded.to_dict()))
    assert again == embedded
    assert space_of(again).describe(again).operations == network.operations


def test_the_fingerprint_tells_spaces_apart() -> None:
    of = [space("mobilenet_v3"), space("mobilenet_v3", multiplier=0.5), space("mobilenet_v2")]
    of += [space("mobilenet_v3", bypass=False), space("mobilenet_v3", classes=10)]
    assert len({s.fingerprint for s in of}) == len(of)
    # the same choices mean the same at another resolution
    assert space("mobilenet_v3", resolution=64).fingerprint == of[0].fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage2.block2.width": 17}, r"stage2\.block2\.width = 17 is not a value of space .*0, 8"),
        ({"stem.widht": 8}, "unknown choice .* 'stem.widht'; did you mean 'stem.width'"),
        ({"stem.width": None}, "lacks the choice 'stem.width'"),
    ],
)
def test_choices_of_a_file_are_checked(
    tiny: SearchSpace, change: dict[str, int | None], message: str
) -> None:
    data = tiny.largest().to_dict()
    data["choices"] |= change
    data["choices"] = {k: v for k, v in data["choices"].items() if v is not None}
    edited = Architecture.from_dict(data)
    with pytest.raises(UserError, match=message):
        space_of(edited).describe(edited)
    with pytest.raises(UserError, match=message):
        tiny.architecture(data["choices"])


def test_architectures_of_another_space_are_refused(tiny: SearchSpace) -> None:
    other = space("mobilenet_v3_tiny", multiplier=0.5).largest()
    with pytest.raises(UserError, match="belongs to space 'mobilenet_v3_tiny'"):
        tiny.describe(other)
    with pytest.raises(UserError, match="is for 16 px, the space for 32 px"):
        tiny.describe(space("mobilenet_v3_tiny", resolution=16).largest())
    stale = {**tiny.largest().to_dict(), "space_fingerprint": "0" * 16}
    with pytest.raises(UserError, match="stored for another version of space"):
        space_of(Architecture.from_dict(stale))
    changed = tiny.to_dict() | {"input_channels": 1}
    forged = {**tiny.largest().to_dict(), "graph": changed}
    with pytest.raises(UserError, match="stored for another version of space"):
        space_of(Architecture.from_dict(forged))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1, "space": "mob', "not JSON, truncated"),
        ("", "not JSON, truncated"),
        ("[1, 2]", "not an architecture"),
        ('{"schema": 1}', "no 'space' and 'choices'"),
        ('{"schema": 9, "space": "x", "choices": {}}', "schema 9, this version reads 1"),
        ('{"schema": 1, "space": "x", "choices": {}}', "'space_fingerprint'"),
        ('{"schema": 1, "space": "x", "space_fingerprint": "", "choices": {"a": 8.5},'
         ' "resolution": 32, "classes": 10}', "'float'"),
        ('{"schema": 1, "space": "x", "space_fingerprint": "", "choices": [8],'
         ' "resolution": 32, "classes": 10}', "not an architecture"),
    ],
)  # fmt: skip
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        Architecture.load(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        Architecture.load(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not JSON"):
        Architecture.load(tmp_path / "binary.json")


@pytest.mark.parametrize(
    "data", [None, [], "text", {}, {"schema": 2}, {"schema": 1}, {"schema": 1, "nodes": [1]}]
)
def test_other_data_is_no_graph_and_no_network(data: Any) -> None:
    with pytest.raises(UserError):
        graph_from_dict(data)
    with pytest.raises(UserError):
        Network.from_dict(data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 0}, "resolution = 0"),
        ({"classes": 0}, "classes = 0"),
        ({"multiplier": -1}, "must be above 0"),
        ({"lowering": "cat"}, "unknown lowering 'cat'"),
        ({"widht": 1}, "unexpected keyword argument 'widht'"),
    ],
)
def test_settings_that_make_no_network(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        space("mobilenet_v3_tiny", **settings)


def test_settings_of_single_spaces() -> None:
    with pytest.raises(UserError, match="unknown search space 'mobilenet_v4'; did you mean"):
        space("mobilenet_v4")
    with pytest.raises(UserError, match="100 px is not a multiple of 32"):
        space("fastdepth", resolution=100)
    with pytest.raises(UserError, match="not odd"):
        space("fastdepth", resolution=64, kernels=[2, 4])
    with pytest.raises(UserError, match="unknown activation 'softsign'"):
        space("mobilenet_v1", activation="softsign")


def test_the_shipped_mobilenet_v3_large() -> None:
    folder = Path(search_spaces.__file__).parent / "architectures"
    member = Architecture.load(folder / "mobilenet_v3_large.json")
    of = space_of(member)
    reference = space("mobilenet_v3_large")
    network, wanted = of.describe(member), reference.describe(reference.largest())
    assert (network.macs, network.params) == (wanted.macs, wanted.params)
    assert of.canonical(member) == dict(member)
    units = [u for u in of.units if member[u.width]]
    assert len(units) == len(reference.units)


def test_files_of_schema_1_keep_loading() -> None:
    plain = Architecture.load(ASSETS / "architecture-1.json")
    network = space_of(plain).describe(plain)
    assert (network.macs, network.params, len(network.operations)) == PLAIN
    embedded = Architecture.load(ASSETS / "embedded-architecture-1.json")
    of = space_of(embedded)
    stored = Network.from_dict(json.loads((ASSETS / "network-1.json").read_text()))
    assert of.describe(embedded) == stored
    assert (stored.macs, stored.params) == EMBEDDED
    assert stored.kept_channels("cat", 12) == ((0, 4), (8, 16))


def test_uniform_scaling_and_the_ends_of_a_space(tiny: SearchSpace) -> None:
    assert tiny.scaled(1.0) == tiny.largest()
    half = tiny.scaled(0.5)
    for name, choice in tiny.choices.items():
        share = 1.0 if choice.kind == "kernel" else 0.5
        assert abs(half[name] - share * choice.largest) <= 4 and half[name] > 0
    costs = [tiny.describe(tiny.scaled(share / 20)).macs for share in range(1, 21)]
    assert costs == sorted(costs)
    assert all(tiny.smallest()[c.name] == c.values[0] for c in tiny.choices.values()
               if tiny.live(c.name, tiny.smallest()))  # fmt: skip
    low = [tiny.random(random.Random(i), low=0.5) for i in range(20)]
    assert all(a[u.width] >= 0.5 * u.filters for a in low for u in tiny.units)
