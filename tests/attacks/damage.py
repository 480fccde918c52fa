"""Seeded damage to bytes, lines, JSON values and the text of a YAML file."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

NUMBERS = (
    "-1", "0", "1e308", "-1e-320", ".inf", "-.inf", ".nan", "1_000", "0x" + "f" * 400, "0o777",
    "9" * 400, "1e99999", "12:30:45", "1e-400", "+.5", "2147483648", "9223372036854775808",
)  # fmt: skip
TEXTS = (
    '""', "null", "~", "[]", "{}", "[[[]]]", "true", "no", "!!bool ''", "!!int ''", "!!float x",
    "!!timestamp x", "!!binary @", "!!set {a}", "!!python/object/apply:os.system [id]", "!u x",
    '"\\U00110000"', '"\\ud800"', '"\\x1b]0;owned\\x07"', "~nouser/x", "/dev/zero", "/dev/stdin",
    "s3://[::1/x", "s3://KEY:SECRET@bucket/x", "file:///dev/full", "../../..", "/", "*a", "&a x",
    "<<", "? a", "- - - -", "'", "|", ">", "%TAG", "\u202eabc", "\x1b[2J", "\x00", "\ufeff",
    "{low: 1e-320, high: 1e308, log: true}", "{low: 0, high: 10, step: 1e-320}",
    "{low: 1, high: 0}", "{low: .nan, high: .nan}", "{low: 1, high: 9007199254740993}",
)  # fmt: skip
BOMB = "\n".join(
    [
        "a0: &a0 [x,x,x,x,x,x,x,x,x]",
        *(f"a{n}: &a{n} [" + ",".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 9)),
    ]
)


def bits(data: bytes, rng: random.Random, count: int = 1) -> bytes:
    """Return the bytes with `count` random bits flipped."""
    held = bytearray(data)
    for _ in range(count if held else 0):
        held[rng.randrange(len(held))] ^= 1 << rng.randrange(8)
    return bytes(held)


def spans(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one span removed, doubled, zeroed or replaced by noise."""
    begin = rng.randrange(len(data) + 1)
    end = min(len(data), begin + rng.choice((1, 2, 16, 200, 5000)))
    middle = rng.choice(
        (b"", data[begin:end] * 2, bytes(end - begin), rng.randbytes(end - begin), b"\xff\xfe\x00")
    )
    return data[:begin] + middle + data[end:]


def cut(data: bytes, rng: random.Random) -> bytes:
    """Return a prefix of random length."""
    return data[: rng.randrange(len(data) + 1)]


def lines(data: bytes, rng: random.Random) -> bytes:
    """Return the lines with one deleted or duplicated, two swapped, or a garbage line inserted."""
    held = data.splitlines(keepends=True)
    if not held:
        return b"\n"
    place, other = rng.randrange(len(held)), rng.randrange(len(held))
    match rng.randrange(4):
        case 0:
            del held[place]
        case 1:
            held.insert(other, held[place])
        case 2:
            held[place], held[other] = held[other], held[place]
        case _:
            held.insert(
                place, rng.choice((b"garbage\n", b"{}\n", b"[1,2]\n", b"\x00\n", b"null\n"))
            )
    return b"".join(held)


def any_bytes(data: bytes, rng: random.Random) -> bytes:
    """Apply one of the functions above at random."""
    return rng.choice((bits, bits, spans, cut, lines))(data, rng)


def json_value(data: bytes, rng: random.Random) -> bytes:
    """Return the JSON document with one value replaced or dropped, rarely nested very deeply."""
    document = json.loads(data)
    places = list(_places(document))
    holder, key = rng.choice(places)
    odd: tuple[Callable[[], Any], ...] = (
        lambda: None, lambda: -1, lambda: 2**70, lambda: 1e308, lambda: float("nan"), lambda: "",
        lambda: "../../elsewhere/thesis.txt", lambda: "/etc/hostname", lambda: "\x1b[2J",
        lambda: "\udcff", list, dict, lambda: True, lambda: "x" * 100_000,
        lambda: copy.deepcopy(document),
    )  # fmt: skip
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(odd)()
    text = json.dumps(document)
    if rng.random() < 0.02:
        text = "[" * 100_000 + text
    return text.encode("utf-8", "surrogatepass")


def _places(document: Any) -> Any:
    """Yield every (container, key) pair of a document, at all depths."""
    keys = document if isinstance(document, dict) else range(len(document))
    for key in list(keys):
        yield document, key
        if isinstance(document[key], dict | list) and document[key]:
            yield from _places(document[key])


def yaml_text(text: str, rng: random.Random) -> bytes:
    """Damage a search space in one to three places with odd values, keys, YAML bombs or bytes."""
    for _ in range(rng.randint(1, 3)):
        match rng.randrange(8):
            case 0 | 1 | 2:
                text = _replace_part(text, rng)
            case 3:
                text = _replace_part(text, rng, key=True)
            case 4:
                text += (
                    f"\n{BOMB}\ntrials: *a8\n"
                    if rng.random() < 0.5
                    else f"\n<<: {{trials: {rng.choice(NUMBERS)}}}\n"
                )
            case 5:
                text += "\nspace: " + "[" * rng.choice((10, 2000, 100_000))
            case 6:
                text += "\n" + rng.choice(TEXTS) + ": " + rng.choice(TEXTS)
            case _:
                return any_bytes(text.encode("utf-8", "surrogatepass"), rng)
    return text.encode("utf-8", "surrogatepass")


def _replace_part(text: str, rng: random.Random, key: bool = False) -> str:
    """Replace the value of a random line, or its key if `key` is set, by an odd one."""
    rows = text.splitlines()
    place = rng.choice([n for n, row in enumerate(rows) if ":" in row])
    before, _, after = rows[place].partition(":")
    odd = rng.choice(TEXTS if key else rng.choice((NUMBERS, TEXTS)))
    rows[place] = f"{odd}:{after}" if key else f"{before}: {odd}"
    return "\n".join(rows)
