"""The kinds of attack; each call makes one attack with the given random generator.

An attack writes damaged files into the sandbox's `work`, runs a command on them, and returns a
`Strike`: the command line, its output, and the complaints, none if the damage was handled.
"""

import os
import random
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from damage import any_bytes, bits, cut, json_value, yaml_text
from sandbox import Outcome, Sandbox
from victims import SPACES, Victims

REFUSED = frozenset({0, 2, 3})
UNREADABLE = frozenset({0, 3})
DAMAGED = frozenset({0, 4})


class Strike(NamedTuple):
    """The command run on the damaged files, its output, and what it did wrong."""

    command: str
    printed: str
    complaints: list[str]


def spaces(sandbox: Sandbox, victims: Victims, rng: random.Random) -> Strike:
    """Validate a mutated search space."""
    text = rng.choice(sorted(SPACES.glob("*.yaml"))).read_text()
    (sandbox.work / "space.yaml").write_bytes(yaml_text(text, rng))
    words = ["validate", "space.yaml"]
    return _judged(sandbox, words, sandbox.call(words), REFUSED)


def pictures(sandbox: Sandbox, victims: Victims, rng: random.Random) -> Strike:
    """Check a folder with some damaged pictures, or label them."""
    folder = sandbox.work / "pictures"
    for number in range(12):
        _put_picture(folder / rng.choice("ab"), number, victims, rng)
    if victims.bundle is not None and rng.random() < 0.1:
        words = ["predict", str(victims.bundle), "pictures", "--format", "json"]
        return _judged(sandbox, words, sandbox.call(words), UNREADABLE)
    (sandbox.work / "space.yaml").write_text(
        "data: {kind: folder, path: pictures, image_px: 32, unreadable: skip}\n"
        "space: {backbone: strokes}\n"
    )
    words = ["validate", "--data", "space.yaml"]
    return _judged(sandbox, words, sandbox.call(words), UNREADABLE)


def _put_picture(folder: Path, number: int, victims: Victims, rng: random.Random) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    suffix, whole = rng.choice(sorted(victims.pictures.items()))
    path = folder / f"{number}.{suffix}"
    match rng.randrange(12):
        case 0:
            os.mkfifo(path)
        case 1:
            path.symlink_to(rng.choice(("nowhere", "/dev/zero", "/dev/stdin", path.name, "..")))
        case 2:
            path.write_bytes(bomb(rng.choice((4_000, 20_000, 60_000))))
        case 3:
            path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n")
        case 4:
            os.close(os.open(os.fsencode(folder) + b"/\xff\xfe.png", os.O_CREAT, 0o600))
        case 5 | 6:
            path.write_bytes(bits(whole[:200], rng, rng.randint(1, 4)) + whole[200:])
        case _:
            path.write_bytes(any_bytes(whole, rng))


def bomb(side: int) -> bytes:
    """Return a small PNG that declares side x side grey pixels: zeros, well compressed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        ends = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + ends

    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(min(side, 4_000)))
    packed = chunk(b"IHDR", header) + chunk(b"IDAT", rows + packer.flush()) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + packed


def studies(sandbox: Sandbox, victims: Victims, rng: random.Random) -> Strike:
    """Read, export or resume a study with a damaged, missing or strange file."""
    source = rng.choice(victims.studies)
    study = sandbox.work / "study"
    words = _reading(rng, trained=victims.fresh is not None)
    expected = _undamaged(sandbox, source, words) if source == victims.fresh else ""
    shutil.copytree(source, study, symlinks=True)
    damaged = _damage_one(study, rng)
    outcome = sandbox.call(words)
    strike = _judged(sandbox, words, outcome, DAMAGED | {3} if words[0] == "resume" else DAMAGED)
    if expected and outcome.code == 0 and not outcome.err and outcome.out != expected:
        strike.complaints.append(f"accepted: {damaged} is damaged, nothing says so")
    return strike


def _reading(rng: random.Random, trained: bool) -> list[str]:
    form = rng.choice(("table", "json", "csv", "md", "html"))
    reading = [["report", "study", "--format", form]] * 12 + [["compare", "study"]] * 2
    if trained:
        reading += [["export", "study", "--out", "bundle", "--no-timed"], ["resume", "study"]]
    return rng.choice(reading)


def _undamaged(sandbox: Sandbox, source: Path, words: list[str]) -> str:
    """Return a command's output for undamaged input, run once; empty for commands that write."""
    if words[0] not in ("report", "compare", "predict"):
        return ""
    if (key := " ".join(words)) not in sandbox.undamaged:
        shutil.copytree(source, sandbox.work / words[1], symlinks=True)
        sandbox.undamaged[key] = sandbox.call(words).out
        shutil.rmtree(sandbox.work / words[1])
    return sandbox.undamaged[key]


def _damage_one(study: Path, rng: random.Random) -> str:
    """Damage one file of a study, usually one of its record; return the file's name."""
    record = [study / "journal.log", study / "study.yaml", *study.glob("trials/*/*.*")]
    path = rng.choice(record if rng.random() < 0.9 else _files(study))
    _harm(path, rng, study.parents[1] / "elsewhere")
    return str(path.relative_to(study))


def _harm(path: Path, rng: random.Random, elsewhere: Path) -> None:
    whole = path.read_bytes()
    match rng.randrange(20):
        case 0:
            path.unlink()
            path.symlink_to(elsewhere / "thesis.txt")
        case 1:
            path.unlink()
            os.mkfifo(path)
        case 2:
            path.unlink()
            path.mkdir()
        case 3:
            path.unlink()
        case 4:
            path.write_bytes(cut(whole, rng))
        case _:
            path.write_bytes(any_bytes(whole, rng))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def bundles(sandbox: Sandbox, victims: Victims, rng: random.Random) -> Strike:
    """Label a picture with a damaged or hostile bundle."""
    assert victims.bundle is not None
    (sandbox.work / "a.jpg").write_bytes(victims.pictures["jpg"])
    words = ["predict", "bundle", "a.jpg", "--format", "json", "--top", "3"]
    words += rng.choice(([], [], ["--artifact", rng.choice(("keras", "litert", "saved_model"))]))
    expected = _undamaged(sandbox, victims.bundle, words)
    bundle = Path(shutil.copytree(victims.bundle, sandbox.work / "bundle", symlinks=True))
    manifest = bundle / "manifest.json"
    if rng.random() < 0.6:
        manifest.write_bytes(json_value(manifest.read_bytes(), rng))
    else:
        _harm(rng.choice(_files(bundle)), rng, sandbox.elsewhere)
    outcome = sandbox.call(words)
    strike = _judged(sandbox, words, outcome, DAMAGED)
    if outcome.code == 0 and not outcome.err and outcome.out != expected:
        strike.complaints.append("accepted: another answer, nothing says why")
    return strike


def _judged(
    sandbox: Sandbox, words: list[str], outcome: Outcome, allowed: frozenset[int]
) -> Strike:
    printed = f"exit code {outcome.code}\n{outcome.out}\n{outcome.err}"
    return Strike(
        " ".join(["tlsearch", *words]), printed, outcome.complaints(allowed) + sandbox.trespasses()
    )


Attack = Callable[[Sandbox, Victims, random.Random], Strike]
