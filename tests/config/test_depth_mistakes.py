"""Mistakes in a depth: layers that train nothing, blocks that a network does not have."""

import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.config.load import from_mapping, parse

DIGITS = "data: {kind: digits, image_px: 80}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text, "pets.yaml")
    return list(refused.value.problems)


HEAD_ALONE = "expected 0 for the head alone, or"


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (
            "unfrozen_layers: 1",
            f"found 1, but nothing trains in the last layer of mobilenet_v2: {HEAD_ALONE} 3",
        ),
        (
            "unfrozen_layers: [0, 3, 40, all], backbone: [strokes, resnet50, densenet121]",
            "found 3, but nothing trains in the last 3 layers of resnet50, densenet121: "
            f"{HEAD_ALONE} 4",
        ),
        (
            "unfrozen_layers: {low: 5, high: 40}, backbone: inception_v3",
            f"found 5, but nothing trains in the last 5 layers of inception_v3: {HEAD_ALONE} 12",
        ),
        (
            "unfrozen_layers: {low: 0, high: 2}",
            f"found 2, but nothing trains in the last 2 layers of mobilenet_v2: {HEAD_ALONE} 3",
        ),
        (
            "unfrozen_layers: 2, train_batch_norm: [false, true]",
            f"found 2, but nothing trains in the last 2 layers of mobilenet_v2: {HEAD_ALONE} 3",
        ),
        (
            "unfrozen_layers: 1, train_batch_norm: true",
            f"found 1, but nothing trains in the last layer of mobilenet_v2: {HEAD_ALONE} 2",
        ),
    ],
)
def test_last_layers_that_train_nothing_are_refused(space: str, problem: str) -> None:
    (found,) = problems(f"{DIGITS}space: {{{space}}}")
    where, message = found.split(": ", 1)[0], found.split(": ", 2)[2]
    assert (where, message) == ("pets.yaml:2", f"{problem} and more")


@pytest.mark.parametrize(
    "space",
    [
        "unfrozen_layers: [0, 3, all]",
        "unfrozen_layers: {low: 0, high: 3}",
        "unfrozen_layers: 2, train_batch_norm: true",
        "unfrozen_layers: [12], backbone: [strokes, resnet50, inception_v3]",
    ],
)
def test_last_layers_of_which_one_trains_are_taken(space: str) -> None:
    parse(f"{DIGITS}space: {{{space}}}")


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (
            "unfrozen_blocks: [0, 1], unfrozen_layers: 15",
            "space.unfrozen_blocks: expected either unfrozen_layers or unfrozen_blocks, found both",
        ),
        (
            "unfrozen_blocks: [1, 18, all]",
            "space.unfrozen_blocks[1]: found 18, but mobilenet_v2 has 17 inverted residual blocks: "
            "expected 17 at most, or all",
        ),
        (
            "unfrozen_blocks: 12, backbone: [resnet50, densenet121, inception_v3]",
            "space.unfrozen_blocks: found 12, but densenet121 has 4 dense blocks, "
            "inception_v3 has 11 inception blocks: expected 4 at most, or all",
        ),
        (
            "unfrozen_blocks: {low: 0, high: 20, step: 2}",
            "space.unfrozen_blocks.high: found 20, but mobilenet_v2 has 17 inverted residual "
            "blocks: expected 17 at most, or all",
        ),
        (
            "unfrozen_blocks: {low: 0, high: 5, step: 4}, backbone: densenet121",
            "space.unfrozen_blocks.high: found 5, but densenet121 has 4 dense blocks: "
            "expected 4 at most, or all",
        ),
        (
            "unfrozen_blocks: -1",
            "space.unfrozen_blocks: found -1, expected a whole number >= 0, or all",
        ),
    ],
)
def test_blocks_that_cannot_be_say_why(space: str, problem: str) -> None:
    assert problems(f"{DIGITS}space: {{{space}}}") == [f"pets.yaml:2: {problem}"]


@pytest.mark.parametrize(
    ("space", "baseline", "other"),
    [
        ("unfrozen_blocks: [0, 2]", "unfrozen_layers: 15", "unfrozen_blocks"),
        ("unfrozen_layers: [0, 15]", "unfrozen_blocks: 2", "unfrozen_layers"),
    ],
)
def test_a_baseline_counts_as_its_space_does(space: str, baseline: str, other: str) -> None:
    key, value = baseline.split(": ")
    assert problems(f"{DIGITS}space: {{{space}}}\nbaselines: [{{{baseline}}}]") == [
        f"pets.yaml:3: baselines[0].{key}: found {value}, but the space has {other}: use {other}"
    ]


def test_a_study_that_began_with_layers_that_train_nothing_can_be_opened() -> None:
    values = {"data": {"kind": "digits"}, "space": {"unfrozen_layers": [0, 1, 2]}}
    config = from_mapping(values, recorded=True)
    assert config.space.unfrozen_layers.admits(2)
    with pytest.raises(ConfigError, match="nothing trains in the last layer"):
        from_mapping(values)
