"""Frozen choices, multiples, least widths: a part of a space with the whole one's architectures."""

from __future__ import annotations

import random

import pytest

from search_spaces import UserError, limited, space, space_of, tied
from search_spaces.storage import graph_from_dict

WHOLE = space("mobilenet_v3_tiny", resolution=32)


def draws(part, count=20):
    source = random.Random(0)
    return [part.random(source) for _ in range(count)] + [part.largest(), part.smallest()]


def test_what_is_kept_never_changes_and_the_rest_does():
    part = limited(WHOLE, keep=["stem", "stage2.*.kernel", "stage3.block1.expand"])
    kept = {"stem.width", "stage3.block1.expansion"}
    kept |= {name for name in WHOLE.choices if name.startswith("stage2.") and "kernel" in name}
    for name, choice in WHOLE.choices.items():
        seen = {a[name] for a in draws(part, 60)}
        assert (seen == {choice.largest}) == (name in kept), name
    assert {group.choice for group in tied(part) if group.frozen} == kept


def test_multiples_and_least_widths():
    part = limited(WHOLE, multiple=16, minimum={"*": 0.5, "head": 100})
    for architecture in draws(part):
        for name, value in architecture.items():
            choice = WHOLE.choices[name]
            if choice.kind != "kernel":
                assert value == choice.largest or value % 16 == 0
                assert value >= 0.5 * choice.largest
        assert architecture["head.width"] >= 100
    # with no least width units can still be removed
    assert 0 in limited(WHOLE, multiple=16).choices["stage3.block2.width"].values


def test_architectures_are_those_of_the_whole_space():
    part = limited(WHOLE, multiple=16)
    assert part.fingerprint == WHOLE.fingerprint and part.largest() == WHOLE.largest()
    for architecture in draws(part):
        assert space_of(architecture) == WHOLE
        assert part.describe(architecture) == WHOLE.describe(architecture)
    # and the other way round: one that is described may be any of the whole
    assert part.describe(WHOLE.smallest()) == WHOLE.describe(WHOLE.smallest())
    assert graph_from_dict(part.to_dict()).fingerprint == WHOLE.fingerprint
    larger = part.at(64)
    assert larger.choices == part.choices
    assert larger.describe(larger.smallest()).resolution == 64
    twice = limited(part, keep=["stem"])
    assert twice.whole is WHOLE and twice.choices["stem.width"].values == (16,)


def test_no_limits_are_no_part():
    assert limited(WHOLE) is WHOLE


def test_units_that_share_a_width_are_kept_together():
    """Without bypass a residual unit has the width of what it is added to."""
    plain = space("mobilenet_v3_tiny", resolution=32, bypass=False)
    (group,) = [g for g in tied(plain) if "stage3.block2.project" in g.layers]
    assert len(group.units) > 1 and len(group.layers) > 1
    by_member = limited(plain, keep=["stage3.block2.project"])
    assert by_member.choices[group.choice].values == (plain.choices[group.choice].largest,)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"keep": ["stem.widht"]}, "'stem.widht'; did you mean 'stem.width'?"),
        ({"keep": ["stage9.*"]}, "unknown choice, unit or layer of space mobilenet_v3_tiny"),
        ({"minimum": {"hed": 8}}, "'hed'; did you mean 'head'?"),
        ({"minimum": -1}, "minimum = -1: must be filters, or a share"),
        ({"multiple": 0}, "multiple = 0: must be 1 or more"),
        ({"keep": ["*"]}, "leave nothing that may change"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(limits, words):
    with pytest.raises(UserError) as refusal:
        limited(WHOLE, **limits)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)
