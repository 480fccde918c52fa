"""The device profile: one value that says how a study computes on its workers' devices.

Trials read the profile instead of looking for a GPU; `training/runtime.py` applies it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from tlsearch.base.gpus import Gpu, limit_mib

# In `tf32` an NVIDIA GPU may round the factors of float32 products to 10 bits of mantissa; in
# `float32` it may not. With the mixed precisions, layers of the backbone compute in 16 bits, while
# variables, the pooled vector, the head and the loss stay in float32.
Precision = Literal["float32", "tf32", "mixed_bfloat16", "mixed_float16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
EXACT: Precision = "float32"

# Bytes of input to one step of evaluation: 16 images of 224 pixels, which suits a CPU's cache.
EVAL_BYTES = 16 * 224 * 224 * 3
LEAST_ROWS = 16
RESIDENT_BYTES = 2 * 2**30
SHARD_ROWS = 128
BLOCK_BYTES = 256 * 2**20

FAST_BFLOAT16 = 8.0  # compute capability from which tensor cores multiply it (A100 and later)
RESIDENT_SHARE = 0.4  # of the GPU memory granted to a trial; the rest is for its training
EVAL_PART = 512  # one part in so many of that memory may be input to a step of evaluation
MOST_EVAL = 16 * EVAL_BYTES
GPU_SHARD_ROWS = 512

SHARE = 0.01  # of a metric, by which rounding may change it
MIXED_SHARE = 0.02  # the same if the layers of the backbone computed in 16 bits
PICTURES = 2  # validation pictures that may change class by rounding, if that is more

FIRST_ROWS, MOST_ROWS = 16, 1024  # images in a step of a frozen pass, if it is measured
GAIN = 1.05  # a smaller gain in images per second is not worth the extra memory


@dataclass(frozen=True)
class DeviceProfile:
    """How the trials of a study compute; the default is any CPU, in float32 and without XLA.

    `names` are the models of the GPUs that workers were granted. XLA compiles the graphs of the
    backbones in `jit`. `pass_rows` gives the number of images in a step of a backbone's frozen
    pass, if it was measured; `eval_bytes` limits the input of a step of evaluation.
    `resident_bytes` limits the rows that a process keeps in the memory of its device, `block_bytes`
    those that an epoch reads from the disk at a time. The rows of a shared pass are written in
    shards of `shard_rows`.

    If `overlap` is 1, a thread reads the next block of an epoch, or writes the last shard of a
    pass, while the device computes. If `step_overlap` is 1, threads also read the next step of a
    pass or a prediction and fetch the results of the last one. A step on a CPU is too short for
    that: it takes 4 % more CPU seconds and saves no time.
    """

    kind: Literal["cpu", "gpu"] = "cpu"
    names: tuple[str, ...] = ()
    precision: Precision = EXACT
    jit: tuple[str, ...] = ()
    pass_rows: tuple[tuple[str, int], ...] = ()
    eval_bytes: int = EVAL_BYTES
    resident_bytes: int = RESIDENT_BYTES
    shard_rows: int = SHARD_ROWS
    block_bytes: int = BLOCK_BYTES
    overlap: Literal[0, 1] = 1
    step_overlap: Literal[0, 1] = 0

    @property
    def tf32(self) -> bool:
        """Whether a GPU may round the factors of a float32 product."""
        return self.precision == "tf32"

    @property
    def has_memory(self) -> bool:
        """Whether the device has its own memory, into which rows are copied."""
        return self.kind == "gpu"

    def compiles(self, backbone: str) -> bool:
        """Whether XLA compiles the graphs of this backbone's trials."""
        return backbone in self.jit

    def rows_at_once(self, row_bytes: int) -> int:
        """The number of rows of this size that evaluation takes at a time."""
        return max(LEAST_ROWS, self.eval_bytes // row_bytes)

    def rows_of_pass(self, backbone: str, row_bytes: int) -> int:
        """The number of images of this size that a frozen pass of a backbone takes at a time."""
        return dict(self.pass_rows).get(backbone) or self.rows_at_once(row_bytes)

    def rows_of_shard(self, backbone: str, row_bytes: int) -> int:
        """The number of rows in a shard of a backbone's pass, whose activations have this row size.

        It is a multiple of the measured step of the pass, or of `LEAST_ROWS` if none was measured,
        and at least one such step. Otherwise it is at most `shard_rows`, and at most `block_bytes`.
        """
        step = dict(self.pass_rows).get(backbone, LEAST_ROWS)
        return max(1, min(self.shard_rows, self.block_bytes // row_bytes) // step) * step

    def numerics(self, backbone: str, precision: str) -> str:
        """Everything in the profile that changes the bits of a backbone's activations, as text.

        This is the kind of device, the precision, XLA, and the images in a step of the pass; "" for
        float32 without XLA in the steps of a CPU.
        """
        rows = dict(self.pass_rows).get(backbone)
        by_bytes = "" if self.eval_bytes == EVAL_BYTES else f"{self.eval_bytes} bytes"
        parts = [
            "gpu" if self.has_memory else "",
            "" if precision == EXACT else precision,
            "xla" if self.compiles(backbone) else "",
            by_bytes if rows is None else f"{rows} rows",
        ]
        return " ".join(filter(None, parts))

    def __str__(self) -> str:
        named = " or ".join(self.names) or "a GPU"
        parts = [f"{named if self.has_memory else 'CPU'} in {self.precision}"]
        if self.jit:
            parts.append(f"XLA for {', '.join(self.jit)}")
        for backbone, rows in self.pass_rows:
            parts.append(f"{backbone}'s frozen pass by {rows} images")
        return ", ".join(parts)

    def to_json(self) -> dict[str, object]:
        """Plain values, as study.yaml holds them."""
        plain: dict[str, Any] = TypeAdapter(DeviceProfile).dump_python(self, mode="json")
        return plain

    @classmethod
    def of(cls, plain: Mapping[str, object]) -> "DeviceProfile":
        """Read a profile from plain values; raises ValueError if they are not one."""
        try:
            return TypeAdapter(cls).validate_python({**plain})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ValueError(f"{key}: {first['msg']}") from error


CPU_PROFILE = DeviceProfile()


def chosen_profile(
    precision: str,
    jit: str,
    backbones: Sequence[str],
    gpus: Sequence[Gpu] | None,
    share: float = 1.0,
) -> DeviceProfile:
    """The profile of a study, without the values that need a measurement.

    If `gpus` is None, trials run on CPUs, else each on a `share` of one of these GPUs; an empty
    `gpus` means a GPU that could not be described. `precision` and `jit` are the user's settings.
    Different GPUs get the profile of the smallest one, and float32 unless another precision is
    named. Raises ClusterError if the share is too small to train in.
    """
    compiled = tuple(backbones) if jit == "on" else ()
    if gpus is None:
        return DeviceProfile(precision=_resolve_precision(precision, EXACT), jit=compiled)
    names = tuple(sorted({gpu.name for gpu in gpus}))
    fast = len(names) == 1 and min(gpu.capability for gpu in gpus) >= FAST_BFLOAT16
    held = min((limit_mib(min(share, 1.0), gpu.mib) for gpu in gpus), default=0) * 2**20
    return DeviceProfile(
        kind="gpu",
        names=names,
        precision=_resolve_precision(precision, "mixed_bfloat16" if fast else EXACT),
        jit=compiled,
        eval_bytes=max(EVAL_BYTES, min(MOST_EVAL, held // EVAL_PART)),
        resident_bytes=int(RESIDENT_SHARE * held) or RESIDENT_BYTES,
        shard_rows=GPU_SHARD_ROWS,
        step_overlap=1,
    )


def _resolve_precision(precision: str, otherwise: Precision) -> Precision:
    found: Precision = TypeAdapter(Precision).validate_python(precision.replace("auto", otherwise))
    return found


def doubling_search(speed: Callable[[int], float | None]) -> int:
    """The number of rows to take at a time, doubled until it is hardly faster or memory runs out.

    `speed(rows)` is in rows per second, None if there is not enough memory for them.
    """
    rows, best = FIRST_ROWS, speed(FIRST_ROWS)
    if best is None:
        return _rows_that_fit(speed)
    while rows < MOST_ROWS:
        found = speed(2 * rows)
        if found is None or found < best * GAIN:
            break
        rows, best = 2 * rows, found
    return rows


def _rows_that_fit(speed: Callable[[int], float | None]) -> int:
    """The number of rows to take at a time, halved until there is memory for them."""
    rows = FIRST_ROWS // 2
    while rows > 1 and speed(rows) is None:
        rows //= 2
    return rows


def xla_pays(plain_s: float, xla_s: float) -> bool:
    """Whether graphs compiled by XLA are faster than the others by enough to use them."""
    return xla_s * GAIN <= plain_s


def rounding_share(precision: str) -> float:
    """The largest difference in a metric that rounding explains, relative to max(1, metric)."""
    return MIXED_SHARE if is_mixed(precision) else SHARE


def is_mixed(precision: str) -> bool:
    """Whether layers of the backbone compute in 16 bits."""
    return precision.startswith("mixed_")


def keras_policy(precision: str) -> str:
    """The Keras dtype policy for building a backbone of this precision."""
    return EXACT if precision == "tf32" else precision
