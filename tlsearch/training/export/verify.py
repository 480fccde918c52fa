"""Check exported files: each is reloaded in a clean process, and all of them get the original
images in one pass.
"""

import contextlib
import functools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tlsearch.base.array_types import Floats, Pixels
from tlsearch.base.cores import granted_cores, in_order
from tlsearch.base.errors import RecordError
from tlsearch.base.phases import counting_each, phase
from tlsearch.bundle.open_bundle import BATCH, iter_batches, read_ahead
from tlsearch.bundle.reload_check import Checked, Checkers, CleanProcess
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat
from tlsearch.data.decode import read_pixels, resize
from tlsearch.training.export.formats import Exportable
from tlsearch.training.export.whole_model import Restored, prediction_function

Found = Checked | RecordError


class Verification:
    """The trained network's predictions on the original images, and those of the exported files.

    `squares`, (n, classes), are the network's predictions after the same resize as in training. Its
    predictions after the resize inside any-size files are computed while the first such file is
    checked.
    """

    def __init__(
        self, model: Exportable, trained: Restored, pictures: Sequence[Path], timed: bool
    ) -> None:
        self.squares = trained.validation  # checked against the record, before any test
        self.trained = trained
        self._model, self._pictures, self._timed = model, pictures, timed
        self._any_size: Floats | None = None

    @property
    def image_px(self) -> int:
        """The side of the trained network's square inputs, in pixels."""
        return self._model.trial.image_px

    def expected(self, form: ExportFormat) -> Floats:
        """Return the probabilities, (n, classes), expected of a file of this format after its
        check.
        """
        if not form.any_size:
            return self.squares
        assert self._any_size is not None, "computed with the first file of its kind"
        return self._any_size

    def check(self, files: Mapping[str, Path], checkers: Checkers) -> Iterator[tuple[str, Found]]:
        """Yield the predictions of each format's file, or the error if the file cannot be used."""
        for group in checkers.groups([*files], one_by_one=self._timed):
            with contextlib.ExitStack() as open_ones:
                processes = {n: open_ones.enter_context(checkers.of(n)) for n in group}
                yield from self._answers(files, processes)

    def _answers(
        self, files: Mapping[str, Path], processes: Mapping[str, CleanProcess]
    ) -> list[tuple[str, Found]]:
        total, subject = len(self._pictures), ", ".join(processes)
        with phase("verifying", total, "pictures", subject=subject) as counter:
            for name, process in processes.items():
                if not process.loading:
                    process.load(files[name], self.image_px, self._batches)
            sent = self._send_images(processes)
            self._watch(counting_each(sent, counter), processes)
            return [(name, self._answer(files[name], name, processes[name])) for name in processes]

    def _send_images(self, processes: Mapping[str, CleanProcess]) -> Iterator[Pixels]:
        """Send each original image to every process, then yield it, (height, width, 3) uint8."""
        forms = [(EXPORT_FORMATS[name], process) for name, process in processes.items()]
        read = read_ahead(lambda path: read_pixels(path, self._model.bits), self._pictures)
        squares = any(not form.any_size for form, _ in forms)
        for pixels in read:
            square = resize(pixels, self.image_px) if squares else pixels
            for form, process in forms:
                process.show(pixels if form.any_size else square)
            yield pixels

    def _watch(self, sent: Iterator[Pixels], processes: Iterable[str]) -> None:
        """Consume the images; predict them here too if an any-size file is among those checked and
        its expected probabilities are not known yet.
        """
        if self._any_size is None and any(EXPORT_FORMATS[name].any_size for name in processes):
            self._any_size = self._by_the_resize_inside(sent)
        else:
            deque(sent, maxlen=0)

    def _by_the_resize_inside(self, pictures: Iterable[Pixels]) -> Floats:
        predict, blocks = (
            prediction_function(self._model.network),
            iter_batches(pictures, lambda p: p.nbytes),
        )
        found = in_order(lambda block: predict(self._resize_all(block)), blocks, threads=1, ahead=2)
        return np.concatenate(list(found))

    def _resize_all(self, pictures: Sequence[Pixels]) -> Floats:
        """Resize images to squares (n, image_px, image_px, 3) float32; images of equal size in one
        batch.
        """
        together = all(picture.shape == pictures[0].shape for picture in pictures[1:])
        stacks = (
            [np.stack(pictures)] if together and len(pictures) > 1 else [p[None] for p in pictures]
        )
        return np.concatenate([np.asarray(self._resize(stack)) for stack in stacks])

    @functools.cached_property
    def _resize(self) -> tf.types.experimental.PolymorphicFunction:
        """The resize of the Keras layer inside the files, but from integers: a photo as floats is
        large.
        """
        size = (self.image_px,) * 2

        def resize(images: tf.Tensor) -> tf.Tensor:
            return tf.cast(tf.image.resize(images, size, "bilinear", antialias=True), tf.float32)

        spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
        return tf.function(resize, input_signature=[spec])

    def _answer(self, file: Path, name: str, process: CleanProcess) -> Found:
        try:
            checked = process.answer()
            return self._with_latency(file, name, checked) if self._timed else checked
        except RecordError as error:
            return error

    def _with_latency(self, file: Path, name: str, checked: Checked) -> Checked:
        """Add the milliseconds per batch: on all cores, as already measured, and on one thread."""
        latency = {f"batch {b}, {granted_cores()} threads": ms for b, ms in _items(checked)}
        with CleanProcess(EXPORT_FORMATS[name], 1) as process:
            process.load(file, self.image_px, self._batches)
            latency |= {f"batch {b}, 1 thread": ms for b, ms in _items(process.answer())}
        return Checked(checked.probabilities, latency)

    @property
    def _batches(self) -> tuple[int, ...]:
        """The batch sizes that are timed."""
        return (1, BATCH) if self._timed else ()


def _items(checked: Checked) -> Iterable[tuple[str, float]]:
    return checked.latency_ms.items()
