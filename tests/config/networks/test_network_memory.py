"""Networks too large for a machine's memory are refused by their rows, before they are built."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import BACKBONES
from tlsearch.config.load import dump, from_mapping
from tlsearch.config.networks import network_memory
from tlsearch.config.networks.network_memory import needed_bytes, require_memory

ROWS = st.sampled_from(list(BACKBONES.values()))


@given(ROWS, st.integers(32, 512), st.integers(0, 128), st.integers(1, 64))
def test_more_pixels_and_more_images_never_need_less(row, px, images, more):
    needed = needed_bytes(row, px, images)
    assert 16 * row.parameters <= needed
    assert (
        needed <= needed_bytes(row, px + more, images) <= needed_bytes(row, px + more, 2 * images)
    )


def space(**more):
    named = {"backbone": ["strokes", "convnext_xlarge"], **more}
    return from_mapping({"data": {"kind": "digits", "image_px": 224}, "space": named})


@pytest.mark.parametrize(
    ("more", "needed"),
    [({}, 6), ({"unfrozen_layers": "all"}, 13), ({"unfrozen_layers": "all", "batch_size": 64}, 21)],
)
def test_a_network_that_does_not_fit_is_named_with_what_to_do(more, needed):
    message = (
        f"space.backbone: convnext_xlarge needs at least {needed} GB of memory at 224 px, and this "
        r"machine has 5 GB: choose a smaller one .tlsearch backbones --max-params., or unfreeze"
    )
    with pytest.raises(ConfigError, match=f"^{message}"):
        require_memory(space(**more), int(5e9))
    require_memory(space(**more), int(22e9))


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_check_and_a_forecast_refuse_it(command, command_line, tmp_path, monkeypatch):
    monkeypatch.setattr(network_memory, "memory_bytes", lambda: int(5e9))
    (tmp_path / "large.yaml").write_text(dump(space()))
    code, _, message = command_line(tmp_path).here(command, tmp_path / "large.yaml")
    assert (code, "convnext_xlarge needs at least 6 GB of memory" in message) == (2, True)
