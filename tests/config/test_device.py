"""Choosing a study's device profile from the devices granted to its workers; no device is used."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.errors import ClusterError
from tlsearch.base.gpus import Gpu, limit_mib
from tlsearch.config.device import (
    CPU_PROFILE,
    EVAL_BYTES,
    FIRST_ROWS,
    MOST_ROWS,
    PRECISIONS,
    DeviceProfile,
    chosen_profile,
    doubling_search,
    xla_pays,
)

SPACE = ("strokes", "resnet50")
OLD, NEW = Gpu("Tesla T4", 15360, 7.5), Gpu("NVIDIA A100-SXM4-80GB", 81920, 8.0)

gpus = st.builds(
    Gpu,
    st.sampled_from(["Tesla T4", "NVIDIA A100", "NVIDIA H200"]),
    st.integers(8192, 150000),
    st.sampled_from([7.5, 8.0, 9.0]),
)
profiles = st.builds(
    DeviceProfile,
    kind=st.sampled_from(["cpu", "gpu"]),
    names=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    precision=st.sampled_from(PRECISIONS),
    jit=st.lists(st.sampled_from(SPACE), unique=True).map(tuple),
    pass_rows=st.dictionaries(st.sampled_from(SPACE), st.integers(1, 1024)).map(
        lambda found: tuple(found.items())
    ),
    eval_bytes=st.sampled_from([EVAL_BYTES, 2 * EVAL_BYTES]),
)


@pytest.mark.parametrize("jit", ["auto", "off"])
def test_trials_on_cpus_compute_as_they_always_did(jit: str) -> None:
    profile = chosen_profile("auto", jit, SPACE, None)
    assert profile == CPU_PROFILE
    assert profile.numerics("strokes", profile.precision) == ""
    assert profile.rows_at_once(224 * 224 * 3) == profile.rows_of_pass("strokes", 150528) == 16
    assert (profile.rows_of_shard("strokes", 1000), profile.block_bytes) == (128, 2**28)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((NEW,), "mixed_bfloat16"),
        ((NEW, NEW), "mixed_bfloat16"),
        ((OLD,), "float32"),
        ((NEW, OLD), "float32"),
        ((NEW, replace(NEW, name="NVIDIA H200", capability=9.0)), "float32"),
        ((), "float32"),  # no worker reported
        (None, "float32"),  # CPUs
    ],
)
def test_auto_is_bfloat16_where_every_worker_is_fast_at_it(
    found: tuple[Gpu, ...] | None, expected: str
) -> None:
    assert chosen_profile("auto", "auto", SPACE, found).precision == expected


@given(st.sampled_from(PRECISIONS), st.none() | st.lists(gpus, max_size=3))
def test_a_precision_that_is_named_is_taken_wherever_trials_run(
    precision: str, found: list[Gpu] | None
) -> None:
    profile = chosen_profile(precision, "off", SPACE, found)
    assert profile.precision == precision
    assert profile.tf32 == (precision == "tf32")


@given(st.lists(gpus, min_size=1, max_size=4), st.sampled_from([0.25, 0.5, 1.0]))
def test_what_stays_in_memory_fits_beside_training_into_the_share_of_the_smallest_gpu(
    found: list[Gpu], share: float
) -> None:
    profile, others = (
        chosen_profile("auto", "auto", SPACE, some, share) for some in (found, found[1:])
    )
    held = min(limit_mib(share, gpu.mib) for gpu in found) * 2**20
    assert profile.resident_bytes <= held / 2
    assert profile.eval_bytes <= max(CPU_PROFILE.eval_bytes, held / 512)
    assert len(found) == 1 or profile.resident_bytes <= others.resident_bytes


def test_a_share_too_small_to_train_in_is_refused() -> None:
    with pytest.raises(ClusterError, match="ask for a larger share"):
        chosen_profile("auto", "auto", SPACE, (OLD,), 0.05)


def test_xla_is_for_all_backbones_where_it_is_asked_for() -> None:
    assert chosen_profile("auto", "on", SPACE, None).jit == SPACE
    assert chosen_profile("auto", "on", SPACE, (NEW,)).compiles("resnet50")
    assert not chosen_profile("auto", "auto", SPACE, (NEW,)).compiles(
        "resnet50"
    )  # not measured yet


@given(profiles)
def test_a_profile_is_read_back_as_it_was_written(profile: DeviceProfile) -> None:
    assert DeviceProfile.of(profile.to_json()) == profile
    assert DeviceProfile.of({**profile.to_json(), "of a later version": 1}) == profile


def test_what_is_no_profile_is_told_by_its_key() -> None:
    with pytest.raises(ValueError, match=r"^precision: Input should be 'float32'"):
        DeviceProfile.of({"precision": "float8"})


@given(profiles, profiles)
def test_activations_share_a_key_only_where_they_are_computed_alike(
    one: DeviceProfile, other: DeviceProfile
) -> None:
    for name in SPACE:
        alike = [
            (p.kind, p.precision, p.compiles(name), dict(p.pass_rows).get(name, p.eval_bytes))
            for p in (one, other)
        ]
        bits = [p.numerics(name, p.precision) for p in (one, other)]
        assert (bits[0] == bits[1]) == (alike[0] == alike[1])


@given(profiles)
def test_a_shard_is_whole_steps_of_the_pass(profile: DeviceProfile) -> None:
    for name, rows in profile.pass_rows:
        for row_bytes in (1, 2**16, 2**22):
            shard = profile.rows_of_shard(name, row_bytes)
            assert shard % rows == 0
            assert shard == rows or shard * row_bytes <= profile.block_bytes


def test_a_profile_is_told_in_a_line() -> None:
    assert str(CPU_PROFILE) == "CPU in float32"
    measured = replace(
        chosen_profile("auto", "off", SPACE, (NEW,)),
        jit=("resnet50",),
        pass_rows=(("resnet50", 256),),
    )
    assert str(measured) == (
        "NVIDIA A100-SXM4-80GB in mixed_bfloat16, XLA for resnet50, resnet50's frozen pass by 256 "
        "images"
    )


@given(st.floats(1, 4000), st.integers(0, 4096))
def test_rows_are_doubled_until_they_are_hardly_faster_or_memory_ends(
    enough: float, room: int
) -> None:
    asked = []

    def speed(rows: int) -> float | None:
        asked.append(rows)
        return None if rows > room else min(rows, enough)

    rows = doubling_search(speed)
    assert rows == 1 or rows <= room
    assert rows <= MOST_ROWS
    assert 2 * rows > min(enough, room, MOST_ROWS) / 1.05 or room < 1
    assert len(asked) == len(set(asked)) <= 8


def test_where_there_is_no_room_for_the_first_rows_there_are_fewer() -> None:
    speeds = {1: 1.0, 2: 2.0, 4: 4.0, 8: None, FIRST_ROWS: None}
    assert doubling_search(speeds.__getitem__) == 4


def test_xla_pays_where_it_is_enough_faster() -> None:
    assert xla_pays(1.0, 0.9)
    assert not xla_pays(1.0, 0.99)
    assert not xla_pays(1.0, 2.0)
