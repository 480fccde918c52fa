"""This machine: the processor that numbers are computed on, and its memory."""

import functools
import os
import platform
import sysconfig
from collections.abc import Sequence
from pathlib import Path

# The installed package: its code, and the files that travel with it.
PACKAGE = Path(__file__).parents[1]

_CPUINFO = Path("/proc/cpuinfo")
# What a container may use, of the second and the first version of control groups.
_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def machine(gpus: Sequence[str] = ()) -> str:
    """The CPU's model, and the GPUs given, in a line."""
    return ", ".join([cpu_model(), *gpus])


def memory_bytes(limits: Sequence[Path] = _MEMORY_LIMITS) -> int:
    """The memory of this machine, or of the container where that has less."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = [path.read_text().strip() for path in limits if path.is_file()]
    return min([whole, *(int(text) for text in told if text.isdigit())])


@functools.lru_cache(maxsize=1)
def cpu_model() -> str:
    """The CPU's name, with its family and model where the kernel tells them."""
    told = read_cpuinfo(_CPUINFO.read_text()) if _CPUINFO.is_file() else None
    return told or _platform()


@functools.lru_cache(maxsize=1)
def cpu_name() -> str:
    """The CPU's name alone."""
    told = _first_processor(_CPUINFO.read_text()) if _CPUINFO.is_file() else {}
    return told.get("model name") or _platform()


def read_cpuinfo(text: str) -> str | None:
    """The first processor of /proc/cpuinfo; None where it has no name.

    A hypervisor may hide the generation in the name, hence family and model.
    """
    told = _first_processor(text)
    if "model name" not in told:
        return None
    numbers = [f"{name} {told[name]}" for name in ("cpu family", "model") if name in told]
    return ", ".join([told["model name"], *numbers])


def _first_processor(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _platform() -> str:
    return platform.processor() or platform.machine()


def without_places(text: str) -> str:
    """A text that travels with a study, without folders of this machine: `~` for the user's own,
    nothing for those of Python and its packages.
    """
    paths = sysconfig.get_paths()
    folders = {str(PACKAGE.parent), paths["purelib"], paths["platlib"], paths["stdlib"]}
    for folder in sorted(folders, key=len, reverse=True):  # one may lie in another
        text = text.replace(f"{folder}/", "")
    home = os.path.expanduser("~")
    return text.replace(f"{home}/", "~/") if len(home) > 1 else text
