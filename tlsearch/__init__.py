"""tlsearch: find the best way to fine-tune a pretrained image network on your images.

    import tlsearch
    study = tlsearch.run("quickstart")
    study.leaderboard()

Each name is loaded on first use, so `import tlsearch` is cheap. `tlsearch.errors` holds every
error that tlsearch raises on purpose.
"""

import sys
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from tlsearch.base import errors

if TYPE_CHECKING:
    from tlsearch.bundle.evaluate import evaluate as evaluate
    from tlsearch.bundle.predict import predict_files as predict
    from tlsearch.bundle.serve import serve as serve
    from tlsearch.config.catalog import backbones as backbones
    from tlsearch.config.load import load as load
    from tlsearch.config.schema import SearchConfig as SearchConfig
    from tlsearch.search.handle import Study as Study
    from tlsearch.search.handle import compare as compare
    from tlsearch.search.handle import export as export
    from tlsearch.search.handle import plan as plan
    from tlsearch.search.handle import report as report
    from tlsearch.search.replay import replay as replay
    from tlsearch.search.requested import validate as validate
    from tlsearch.search.study import resume as resume
    from tlsearch.search.study import run as run
    from tlsearch.search.template import template as init

    __version__: str

_HOMES = {
    "load": ("tlsearch.config.load", "load"),
    "SearchConfig": ("tlsearch.config.schema", "SearchConfig"),
    "Study": ("tlsearch.search.handle", "Study"),
    "validate": ("tlsearch.search.requested", "validate"),
    "backbones": ("tlsearch.config.catalog", "backbones"),
    "init": ("tlsearch.search.template", "template"),
    "plan": ("tlsearch.search.handle", "plan"),
    "compare": ("tlsearch.search.handle", "compare"),
    "report": ("tlsearch.search.handle", "report"),
    "run": ("tlsearch.search.study", "run"),
    "resume": ("tlsearch.search.study", "resume"),
    "evaluate": ("tlsearch.bundle.evaluate", "evaluate"),
    "serve": ("tlsearch.bundle.serve", "serve"),
    "replay": ("tlsearch.search.replay", "replay"),
    "export": ("tlsearch.search.handle", "export"),
    "predict": ("tlsearch.bundle.predict", "predict_files"),
}

__all__ = [
    "SearchConfig",
    "Study",
    "backbones",
    "compare",
    "evaluate",
    "export",
    "init",
    "load",
    "plan",
    "predict",
    "replay",
    "report",
    "resume",
    "run",
    "serve",
    "validate",
]

sys.modules[f"{__name__}.errors"] = errors  # for `from tlsearch.errors import ConfigError`


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("tlsearch")
    if name not in _HOMES:
        raise AttributeError(f"module 'tlsearch' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), "__version__", *__all__])
