"""The packages that only some features need, and whether they are installed on this machine."""

import importlib.util
import platform
from collections.abc import Iterable, Sequence

from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import EXPORT_FORMATS
from tlsearch.config.spelling import one_of

# Extra of pyproject.toml -> module -> requirement that provides it.
EXTRAS: dict[str, dict[str, str]] = {
    "onnx": {
        "onnx": "onnx>=1.23",
        "tf2onnx": "tf2onnx>=1.17",
        "onnxruntime": "onnxruntime>=1.31",
    },
    "serve": {
        "fastapi": "fastapi>=0.133",
        "uvicorn": "uvicorn>=0.40",
        "python_multipart": "python-multipart>=0.0.20",
    },
    "hub": {"keras_hub": "keras-hub>=0.32,<0.33"},
    "cluster": {"aiohttp": "ray[default]>=2.60,<2.61"},
}
# The modules of an extra that opening an exported file needs; writing one needs all of them.
OPENING = {"onnx": ("onnx", "onnxruntime")}


def missing_packages_message(what: str, extra: str, modules: Iterable[str], where: str = "") -> str:
    """The error message for missing packages (`where`: on which machine), with the `pip install`
    command that installs them.

    It names packages, not tlsearch's extra, so the command works however tlsearch was installed.
    """
    known = EXTRAS[extra]
    wanted = list(dict.fromkeys(known.get(module, module) for module in modules))
    quoted = " ".join(f"'{requirement}'" for requirement in wanted)
    return f"{what} needs {', '.join(modules)}{where}; run `pip install {quoted}`"


def missing_modules(extra: str, modules: Sequence[str] | None = None) -> list[str]:
    """The modules of an extra that are not installed; nothing is imported."""
    needed = EXTRAS[extra] if modules is None else modules
    return [name for name in needed if importlib.util.find_spec(name) is None]


def require_extra(what: str, extra: str | None, modules: Sequence[str] | None = None) -> None:
    """Raise ConfigError if a package that a feature needs is not installed."""
    missing = [] if extra is None else missing_modules(extra, modules)
    if extra is not None and missing:
        raise ConfigError([missing_packages_message(what, extra, missing)])


def known_formats(formats: Sequence[str], where: str = "formats") -> tuple[str, ...]:
    """Names of formats, each once, in the given order; raises ConfigError for unknown ones."""
    requested = (formats,) if isinstance(formats, str) else formats
    unknown = [name for name in requested if name not in EXPORT_FORMATS]
    problems = [f"{where}: {one_of(EXPORT_FORMATS, 'format').why(n)}" for n in unknown]
    if problems or not requested:
        raise ConfigError(problems or [f"{where}: expected at least one format"])
    return tuple(dict.fromkeys(requested))


def require_formats(formats: Iterable[str]) -> None:
    """Raise ConfigError if this machine lacks a package for writing one of these formats.

    Model files are written on the machine that runs the driver, also on a cluster.
    """
    problems = []
    for name in formats:
        extra = EXPORT_FORMATS[name].extra
        missing = [] if extra is None else missing_modules(extra)
        if extra is not None and missing:
            where = f" on {platform.node()}, which writes the model files"
            problem = missing_packages_message(f"export: {name}", extra, missing, where)
            problems.append(f"{problem} there, or leave {name} out of the formats")
    if problems:
        raise ConfigError(problems)
