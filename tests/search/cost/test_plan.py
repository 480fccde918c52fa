"""A plan is arithmetic: more work is never cheaper, more slots are never slower."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.load import from_mapping
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.features import Disk, worth_keeping
from tlsearch.pace import Pace, Suffix
from tlsearch.search.cost.cache_plan import cache_choices
from tlsearch.search.cost.calibration import Calibration
from tlsearch.search.cost.costs import expected_distinct
from tlsearch.search.cost.plan import plan
from tlsearch.search.cost.survey import Survey

NOTHING = Disk(0.0, 0.0)
NAMES = ("strokes", "photos")
CUTS = (0, 40, "all")


def suffix(unfrozen, share, speed):
    images = unfrozen == "all"
    return Suffix(
        depth=Depth(unfrozen),
        cut_name={0: "pool", 40: "block_11_add"}.get(unfrozen, "input_layer"),
        from_images=images,
        numbers=48 * 48 * 3 if images else 1280,
        share=0.0 if images else share,
        cost=1000,
        trained=1000 * (1 + CUTS.index(unfrozen)),
        train_s=speed * (0.01 + 3 * (1 - share)),
        predict_s=speed * (0.01 + 1 - share),
        trace_s=0.5,
    )


def machine(speed=1e-3, disk=NOTHING):
    shares = zip(CUTS, (1.0, 0.6, 0.0), strict=True)
    pace = Pace(10**6, speed, 0.4, tuple(suffix(cut, share, speed) for cut, share in shares))
    return Calibration(dict.fromkeys(NAMES, pace), disk, 3.0, 10**9, 2 * 10**9)


def config(**changes):
    plain = {
        "data": {"kind": "digits", "image_px": 48},
        "space": {"backbone": [*NAMES], "unfrozen_layers": [*CUTS]},
        "epochs": 9,
        "trials": 12,
    }
    return from_mapping(plain | changes)


SURVEY = Survey(10, {"train": 200, "validation": 100, "test": 50}, 1.5)

speeds, disks = st.floats(1e-6, 1), st.builds(Disk, st.floats(0, 1e-7), st.floats(0, 1e-7))
kinds = st.sampled_from(["asha", "hyperband", "median", "promotion", "none"])
slots = st.integers(1, 16)
configs = st.builds(
    config,
    trials=st.integers(1, 60),
    epochs=st.integers(1, 30),
    scheduler=kinds,
    cache_gb=st.sampled_from([0, 1e-4, 1e-3, 20]),
    augment=st.sampled_from(["none", "light"]),
    warm_up_epochs=st.integers(0, 5),
)


@given(configs, speeds, disks, slots)
def test_one_more_trial_never_costs_less(search, speed, disk, at_a_time):
    more = search.model_copy(update={"trials": search.trials + 1})
    a, b = (plan(c, machine(speed, disk), SURVEY, at_a_time) for c in (search, more))
    assert b.wall_s >= a.wall_s * (1 - 1e-9)
    assert b.epochs >= a.epochs - 1e-9
    assert b.study_bytes >= a.study_bytes


@given(configs, speeds, disks, slots)
def test_one_more_slot_never_takes_longer(search, speed, disk, at_a_time):
    a, b = (plan(search, machine(speed, disk), SURVEY, s) for s in (at_a_time, at_a_time + 1))
    assert b.wall_s <= a.wall_s * (1 + 1e-9)


@given(configs, speeds, slots)
def test_one_more_epoch_never_costs_less(search, speed, at_a_time):
    search = search.model_copy(update={"scheduler": config(scheduler="none").scheduler})
    more = search.model_copy(update={"epochs": search.epochs + 1})
    a, b = (plan(c, machine(speed, NOTHING), SURVEY, at_a_time) for c in (search, more))
    assert b.wall_s >= a.wall_s * (1 - 1e-9)


@given(configs, speeds, slots)
def test_without_the_store_nothing_is_cheaper_where_disk_costs_nothing(search, speed, at_a_time):
    search = search.model_copy(update={"augment": config(augment="none").augment})
    on, off = (
        plan(search.model_copy(update={"cache_gb": gb}), machine(speed), SURVEY, at_a_time)
        for gb in (20, 0)
    )
    assert off.seconds.prefixes + off.seconds.training >= 0.999999 * (
        on.seconds.prefixes + on.seconds.training
    )
    assert off.feature_bytes == 0


@given(configs, speeds, disks)
def test_what_is_kept_fits_the_budget_and_follows_the_rule_of_the_store(search, speed, disk):
    taking = machine(speed, disk)
    paces, found = taking.paces, cache_choices(search, taking, SURVEY.images)
    assert sum(k.bytes for k in found if k.cached) <= search.cache_gb * 1e9
    for kept in (k for k in found if k.cached and k.cut_name != "pool"):
        taken = paces[kept.backbone].suffix(kept.depth)
        row = taken.numbers * 2
        assert worth_keeping(speed * taken.share, row, search.epochs, disk)


def test_what_the_budget_gives_up_is_said():
    whole = cache_choices(config(), machine(), SURVEY.images)
    pool = next(kept.bytes for kept in whole if kept.cut_name == "pool")
    small = cache_choices(config(cache_gb=1.5 * pool / 1e9), machine(), SURVEY.images)
    assert [(k.backbone, k.depth.layers, k.choice, k.why) for k in small] == [
        ("strokes", 0, "kept", "trains the head"),
        ("strokes", 40, "recomputed", "cache_gb is full"),
        ("strokes", "all", "images", ""),
        ("photos", 0, "recomputed", "cache_gb is full"),
        ("photos", 40, "recomputed", "cache_gb is full"),
        ("photos", "all", "images", ""),
    ]
    off = cache_choices(config(cache_gb=0), machine(), SURVEY.images)
    assert {k.why for k in off} == {"cache off", ""}


def features_of(**changes):
    search = config(augment="light", views=8, epochs=20, **changes)
    found = cache_choices(search, machine(), SURVEY.images)
    return {(k.backbone, k.depth.layers): (k.choice, k.bytes // (2 * 1280)) for k in found}


def test_of_pooled_vectors_only_those_views_are_kept_that_heads_train_on():
    heads = features_of()
    assert heads["strokes", 0] == heads["strokes", 40] == ("kept", 8 * 200 + 100)
    deep = {"backbone": [*NAMES], "unfrozen_layers": [40]}
    assert features_of(space=deep)["strokes", 0] == ("kept", 200 + 100)
    assert features_of(space=deep)["strokes", 40] == ("kept", 8 * 200 + 100)
    assert features_of(space=deep, warm_up_epochs=0)["strokes", 0] == ("unused", 0)


def test_views_that_no_head_trains_on_cost_their_prefix_alone_and_their_making():
    deep = {"backbone": ["strokes"], "unfrozen_layers": [40]}
    search = config(space=deep, augment="light", views=8, epochs=20, trials=1)
    made = plan(search, replace(machine(), augment_s=1e-4), SURVEY, 1)
    passes = 1e-3 * ((200 + 100) * 1.0 + 7 * 200 * 0.6) + 8 * 200 * 1e-4
    assert made.seconds.prefixes == pytest.approx(passes)


@given(configs, st.floats(0.1, 100))
def test_a_time_budget_ends_it(search, budget):
    limited = search.model_copy(update={"time_budget": budget})
    free, bound = (plan(c, machine(), SURVEY, 2) for c in (search, limited))
    trials_s = budget / 1.3 if search.confirm else budget
    assert bound.wall_s == pytest.approx(min(free.wall_s, trials_s))
    assert bound.out_of_time == (free.wall_s > trials_s)


@given(configs)
def test_confirming_takes_its_share_at_most(search):
    made = plan(search, machine(), SURVEY, 2)
    unconfirmed = plan(search.model_copy(update={"confirm": 0}), machine(), SURVEY, 2)
    assert unconfirmed.confirm_s == 0
    assert made.confirm_s > 0
    assert made.wall_s == unconfirmed.wall_s


@given(st.integers(1, 50), st.floats(0, 500))
def test_no_more_kinds_than_there_are_nor_than_draws(kinds, draws):
    assert 0 <= expected_distinct(kinds, draws) <= min(kinds, max(draws, 1.0)) + 1e-9


def test_a_pace_reads_what_was_written_of_it():
    pace = replace(machine().paces["strokes"], pass_s=0.25)
    assert Pace.of(json.loads(json.dumps(asdict(pace)))) == pace


def test_blocks_are_planned_at_each_backbones_own_layers():
    blocks = {"backbone": ["strokes", "densenet121"], "unfrozen_blocks": [1, 2]}
    search, whole = config(space=blocks), machine()
    ends = {"strokes": (0, 11, 20), "densenet121": (0, 114, 286)}
    paces = {
        name: replace(
            whole.paces["strokes"],
            suffixes=tuple(
                replace(
                    suffix(0, share, 1e-3),
                    depth=Depth(end),
                    cut_name="pool" if end == 0 else str(end),
                )
                for end, share in zip(layers, (1.0, 0.8, 0.6), strict=True)
            ),
        )
        for name, layers in ends.items()
    }
    made = plan(search, replace(whole, paces=paces), SURVEY, 2)
    assert [(k.backbone, k.depth.layers, k.depth.label) for k in made.features] == [
        ("strokes", 0, "0 blocks"),
        ("strokes", 11, "1 block"),
        ("strokes", 20, "2 blocks"),
        ("densenet121", 0, "0 blocks"),
        ("densenet121", 114, "1 block"),
        ("densenet121", 286, "2 blocks"),
    ]
    assert made.wall_s > 0


def test_a_plan_counts_the_decoded_images_and_the_process_after_the_trials():
    found = plan(config(), machine(), SURVEY, 2)
    assert found.image_bytes == 350 * 48 * 48 * 3
    assert found.after_bytes == 3 * 10**9
    images = {"train": 10**6, "validation": 10**5, "test": 10**5}
    many, roomy = replace(SURVEY, images=images), replace(machine(), resident_bytes=3 * 10**9)
    confirmed, alone = (plan(config(confirm=n), roomy, many, 2) for n in (3, 0))
    assert confirmed.after_bytes == confirmed.slot_bytes == 4 * 10**9
    assert alone.after_bytes == 3 * 10**9
