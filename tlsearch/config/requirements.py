"""The packages that a search needs on this machine, and warnings before it begins."""

import logging
from itertools import product

from tlsearch.config.extras import require_extra, require_formats
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.presets import DINOV3_LICENCE, GEMMA_LICENCE
from tlsearch.config.networks.row import Backbone
from tlsearch.config.schema import SearchConfig
from tlsearch.config.spelling import file_name

log = logging.getLogger(__name__)

# Licence of weights -> what users of the weights, or of a model trained from them, should know.
CONDITIONS = {
    licence: "whose conditions also apply to models trained from them; read it before you download "
    f"the weights or pass a model on ({place})"
    for licence, place in (
        (DINOV3_LICENCE, "https://ai.meta.com/resources/models-and-libraries/dinov3-license"),
        (GEMMA_LICENCE, "https://ai.google.dev/gemma/terms"),
    )
}


def require_packages(config: SearchConfig) -> None:
    """Raise ConfigError if this machine, which also exports the winner, lacks a package."""
    require_formats(config.export)
    for row in _pretrained_backbones(config):
        if row.default_weights == "preset":
            require_extra(f"space.backbone: {file_name(row.name)}", "hub")


def warn_before_search(config: SearchConfig) -> None:
    """Log a line for each backbone whose weights have a licence with conditions, and one if the
    prior cannot propose trials.
    """
    for row in _pretrained_backbones(config):
        if row.licence in CONDITIONS:
            licence = f"the {row.licence}, {CONDITIONS[row.licence]}"
            log.warning("%s: its weights are under %s", file_name(row.name), licence)
    unknown = networks_without_accuracy(config) if config.prior != "off" else []
    if unknown:
        others = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        log.warning(
            "prior: proposes no trials, because it compares networks by their published accuracy "
            "on ImageNet, and none is published for %s%s; set `prior: off`, or search only "
            "networks and weights that have one (`tlsearch backbones` lists them)",
            *(", ".join(unknown[:3]), others),
        )


def networks_without_accuracy(config: SearchConfig) -> list[str]:
    """Return the networks of a search, with their weights unless these are the default, for which
    no accuracy on ImageNet is published.
    """
    networks = product(config.space.backbone.values, config.space.weights.values)
    return [
        f"{file_name(backbone)}"
        + ("" if weights == "default" else f" with `weights: {file_name(weights)}`")
        for backbone, weights in networks
        if row_of(backbone).published_accuracy(weights) is None
    ]


def _pretrained_backbones(config: SearchConfig) -> list[Backbone]:
    """The backbones whose published weights some trial may use."""
    if {"default", "preset"}.isdisjoint(config.space.weights.values):
        return []
    return [row_of(name) for name in config.space.backbone.values]
