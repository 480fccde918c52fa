"""The images of a search: prepared with the granted resources, and in use while it trains."""

from typing import Any

import numpy as np
import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import Direction
from tlsearch.config.load import from_mapping
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.search.trial import prepared_images
from tlsearch.search.trial.workplace import Workplace
from tlsearch.store.users import is_used


@pytest.mark.parametrize(
    ("resources", "threads"),
    [
        ({}, 8),
        ({"cpus_per_trial": 4}, 8),
        ({"max_concurrent": 1}, 1),
        ({"max_concurrent": 3, "cpus_per_trial": 2}, 6),
        ({"max_concurrent": 9, "cpus_per_trial": 2}, 8),
    ],
)
def test_images_are_prepared_on_the_cores_and_the_disk_that_the_search_was_granted(
    monkeypatch: pytest.MonkeyPatch, resources: dict[str, int], threads: int
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(prepared_images, "granted_cores", lambda: 8)
    monkeypatch.setattr(prepared_images, "prepare", lambda *how: asked.append(how))
    plain = {"data": {"kind": "digits"}, "space": {"backbone": "strokes"}, "cache_gb": 1.5}
    config = from_mapping({**plain, "resources": resources})
    prepared_images.prepare_images(config)
    assert asked == [(config.data, config.cache_path, threads, 1_500_000_000)]


def test_a_backbone_without_shipped_weights_cannot_use_them() -> None:
    space = {"backbone": ["photos", "mobilenet_v2"], "weights": "shipped"}
    config = from_mapping({"data": {"kind": "digits"}, "space": space})
    with pytest.raises(ConfigError) as refused:
        prepared_images.require_weight_files(config)
    assert str(refused.value) == (
        "space.weights: no weights of mobilenet_v2 ship with tlsearch; use imagenet or default"
    )


def test_a_trial_uses_its_images_from_the_fetch_to_its_end(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "node" / f"{'0' * 32}.npy", []
    empty = np.zeros(0, np.int32)
    data = ImageData(path, ("cat", "dog"), empty, empty.astype(np.uint64), {}, "")

    def epochs(*_: Any) -> Any:
        yield is_used(path)

    monkeypatch.setattr(Workplace, "_epochs", epochs)
    fetch = lambda path: seen.append(is_used(path))  # noqa: E731
    place = Workplace(data, tmp_path, tmp_path, 0, (), Direction.MAX, 1, fetch=fetch)
    trial = TrialConfig(backbone="strokes", image_px=32, epochs=1)
    assert [*place.train(trial)] == [True]
    assert seen == [True]
    assert not is_used(path)
