"""What differs between devices: one value that says how a study computes on its workers' devices.

Nothing else in this package asks whether there is a GPU, but `training/runtime.py`, which applies
the value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

# `tf32` is float32 whose products an NVIDIA GPU may round to 10 bits of mantissa; `float32` never
# is. Under the mixed precisions layers of the backbone compute in 16 bits, and variables, the
# pooled vector, the head and the loss stay in float32.
Precision = Literal["float32", "tf32", "mixed_bfloat16", "mixed_float16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
EXACT: Precision = "float32"

# Bytes of input to one step of evaluation: 16 images of 224 pixels, about what a cache likes.
EVAL_BYTES = 16 * 224 * 224 * 3
LEAST_ROWS = 16
RESIDENT_BYTES = 2 * 2**30
SHARD_ROWS = 128
BLOCK_BYTES = 256 * 2**20


@dataclass(frozen=True)
class DeviceProfile:
    """How the trials of a study compute; the default is any CPU, in float32 and without XLA.

    `names` are the models of the GPUs that workers were granted. XLA compiles the graphs of the
    backbones in `jit`. `pass_rows` are the images that a frozen pass of a backbone takes at a time,
    where that was measured; `eval_bytes` bound the input of a step of evaluation. `resident_bytes`
    bound the rows that a process keeps in the memory of its device, `block_bytes` those that an
    epoch reads from the disk at a time. The rows of a shared pass are written in shards of
    `shard_rows`. `decode_threads` decode pictures: as many as a study's trials may use, for None.
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
    decode_threads: int | None = None

    @property
    def tf32(self) -> bool:
        """Whether a GPU may round the factors of a float32 product."""
        return self.precision == "tf32"

    @property
    def has_memory(self) -> bool:
        """Whether rows are copied into a memory of the device's own."""
        return self.kind == "gpu"

    def compiles(self, backbone: str) -> bool:
        """Whether XLA compiles the graphs of this backbone's trials."""
        return backbone in self.jit

    def rows_at_once(self, row_bytes: int) -> int:
        """How many rows of this size evaluation takes at a time."""
        return max(LEAST_ROWS, self.eval_bytes // row_bytes)

    def rows_of_pass(self, backbone: str, row_bytes: int) -> int:
        """How many images of this size a frozen pass of a backbone takes at a time."""
        return dict(self.pass_rows).get(backbone) or self.rows_at_once(row_bytes)

    def rows_of_shard(self, backbone: str) -> int:
        """The rows of a shard of a backbone's pass: whole steps of the pass."""
        step = dict(self.pass_rows).get(backbone, 1)
        return max(1, self.shard_rows // step) * step

    def bits(self, backbone: str, precision: str) -> str:
        """All of the profile that the bits of a backbone's activations depend on, in words; "" for
        float32 without XLA in the steps of a CPU.
        """
        rows = dict(self.pass_rows).get(backbone)
        parts = [
            "" if precision == EXACT else precision,
            "xla" if self.compiles(backbone) else "",
            "" if rows is None else f"{rows} rows",
        ]
        return " ".join(filter(None, parts))

    def to_json(self) -> dict[str, Any]:
        """Plain values, as study.yaml holds them."""
        plain: dict[str, Any] = TypeAdapter(DeviceProfile).dump_python(self, mode="json")
        return plain

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "DeviceProfile":
        """From plain values; ValueError where they are no profile."""
        try:
            return TypeAdapter(cls).validate_python({**plain})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ValueError(f"{key}: {first['msg']}") from error


CPU_PROFILE = DeviceProfile()


def keras_policy(precision: str) -> str:
    """The Keras dtype policy that a backbone of this precision is built under."""
    return EXACT if precision == "tf32" else precision
