"""This machine: its CPU model, its memory, and its folders."""

import functools
import os
import platform
import sysconfig
from collections.abc import Sequence
from pathlib import Path

# The folder of the installed package, with its code and data files.
PACKAGE = Path(__file__).parents[1]

_CPUINFO = Path("/proc/cpuinfo")
# The memory limits of a container, of cgroup v2 and v1.
_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def machine(gpus: Sequence[str] = ()) -> str:
    """Return the CPU's model and the given GPUs, in one line."""
    return ", ".join([cpu_model(), *gpus])


def memory_bytes(limits: Sequence[Path] = _MEMORY_LIMITS) -> int:
    """Return the memory of this machine, or of its container if that is less, in bytes."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [path.read_text().strip() for path in limits if path.is_file()]
    return min([whole, *(int(text) for text in texts if text.isdigit())])


@functools.lru_cache(maxsize=1)
def cpu_model() -> str:
    """Return the CPU's name, with its family and model if the kernel reports them."""
    cpuinfo = read_cpuinfo(_CPUINFO.read_text()) if _CPUINFO.is_file() else None
    return cpuinfo or _platform()


@functools.lru_cache(maxsize=1)
def cpu_name() -> str:
    """Return the CPU's name without family and model."""
    processor = _first_processor(_CPUINFO.read_text()) if _CPUINFO.is_file() else {}
    return processor.get("model name") or _platform()


def read_cpuinfo(text: str) -> str | None:
    """Describe the first processor in the text of /proc/cpuinfo; None if it has no name.

    Family and model are included because a hypervisor may hide the CPU's generation in the name.
    """
    processor = _first_processor(text)
    if "model name" not in processor:
        return None
    numbers = [f"{name} {processor[name]}" for name in ("cpu family", "model") if name in processor]
    return ", ".join([processor["model name"], *numbers])


def _first_processor(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _platform() -> str:
    return platform.processor() or platform.machine()


def without_local_folders(text: str) -> str:
    """Return a text without this machine's folders, for records that leave the machine.

    The user's home becomes `~`; the folders of Python, its packages and tlsearch are removed.
    """
    paths = sysconfig.get_paths()
    folders = {str(PACKAGE.parent), paths["purelib"], paths["platlib"], paths["stdlib"]}
    for folder in sorted(folders, key=len, reverse=True):  # one folder may contain another
        text = text.replace(f"{folder}/", "")
    home = os.path.expanduser("~")
    return text.replace(f"{home}/", "~/") if len(home) > 1 else text
