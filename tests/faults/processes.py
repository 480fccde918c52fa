"""The processes of this machine, as /proc tells them."""

from pathlib import Path


def children(parent: int) -> list[int]:
    """The processes whose parent this one is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return found
