"""The processes of this machine, read from /proc."""

from pathlib import Path


def children(parent: int) -> list[int]:
    """Return the pids of a process's children."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found
