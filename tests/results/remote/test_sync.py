"""A local copy and its bucket: equal after every push, consistent after every interrupted one."""

import shutil
from pathlib import Path

import pytest
from far_storage import BUCKET, environment, far_storage
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.base.errors import StorageError
from tlsearch.results.record.file_names import SEAL
from tlsearch.results.remote.bucket import Bucket
from tlsearch.results.remote.differences import of_table
from tlsearch.results.remote.sync import Mirror, local_stamps


@pytest.fixture(scope="module")
def far():
    with far_storage() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(found).items():
            patch.setenv(name, value)
        yield found


class Story:
    """A growing study whose journal lists the existing weights and must always be right."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ray").mkdir(parents=True)
        (folder / "ray" / "state").write_text("disposable")
        (folder / ".driver.lock").write_text("")
        self.trials = 0

    def keep(self) -> None:
        """Write a trial's weights, then the journal line that adds them."""
        home = self.folder / "trials" / f"{self.trials:05d}"
        home.mkdir(parents=True)
        (home / "best.npz").write_bytes(b"%d" % self.trials)
        self._tell(f"+{self.trials}\n")
        self.trials += 1

    def drop(self) -> None:
        """Write the journal line that drops the oldest weights, then remove them."""
        kept = sorted(self.folder.glob("trials/*/best.npz"))
        if kept:
            self._tell(f"-{int(kept[0].parent.name)}\n")
            kept[0].unlink()

    def _tell(self, line: str) -> None:
        with (self.folder / "journal.log").open("a") as file:
            file.write(line)
        (self.folder / SEAL).write_text(str((self.folder / "journal.log").stat().st_size))


def truthful(files: dict[str, bytes]) -> bool:
    """Whether all weights that the journal lists exist, and its digest is not ahead of it."""
    if int(files.get(SEAL, b"0")) > len(files.get("journal.log", b"")):
        return False
    lines = files.get("journal.log", b"").decode().split()
    kept = {line[1:] for line in lines if line[0] == "+"}
    kept -= {line[1:] for line in lines if line[0] == "-"}
    return all(f"trials/{int(number):05d}/best.npz" in files for number in kept)


def there(bucket: Bucket) -> dict[str, bytes]:
    return {name: bucket.read(name) for name in bucket.stamps()}


def here(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in local_stamps(folder)}


class Breaking(Bucket):
    """A storage that fails after a number of changes."""

    left = 10**9

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StorageError("away")

    def write(self, name, data):
        self._spend()
        return super().write(name, data)

    def remove(self, name):
        self._spend()
        super().remove(name)


steps = st.lists(st.sampled_from(["keep", "keep", "drop"]), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(steps, st.integers(0, 8)), min_size=1, max_size=4))
def test_wherever_a_push_breaks_the_journal_there_tells_the_truth(tmp_path_factory, rounds):
    root = tmp_path_factory.mktemp("story")
    story, bucket = Story(root / "here"), Breaking(f"file://{root}/there")
    mirror = Mirror(story.folder, bucket)
    for done, breaks_after in rounds:
        for step in done:
            getattr(story, step)()
        bucket.left = breaks_after
        try:
            mirror.push()
        except StorageError:
            mirror = Mirror(story.folder, bucket)  # the notes of a dead driver remain
        assert truthful(there(bucket))
    bucket.left = 10**9
    mirror.push()
    assert truthful(there(bucket))
    assert {n: b for n, b in there(bucket).items() if n in here(story.folder)} == here(story.folder)
    shutil.rmtree(root)


@pytest.fixture(params=["s3", "file"])
def url(request, tmp_path, far):
    far.one_in, far.away = 0, False
    return f"s3://{BUCKET}/{tmp_path.name}" if request.param == "s3" else f"file://{tmp_path}/far"


def test_another_machine_has_the_same_files(tmp_path, url):
    story = Story(tmp_path / "here")
    first, second = Mirror(story.folder, Bucket(url)), Mirror(tmp_path / "other", Bucket(url))
    for _ in range(3):
        story.keep()
    first.push()
    second.fetch()
    assert here(second.folder) == here(story.folder)
    story.drop()
    first.push()
    second.fetch()
    assert here(second.folder) == here(story.folder) == there(first.bucket)
    assert not (second.folder / "ray").exists()


def test_a_torn_line_stays_until_it_is_whole(tmp_path, url):
    story = Story(tmp_path / "here")
    story.keep()
    story._tell("+torn")
    mirror = Mirror(story.folder, Bucket(url))
    mirror.push()
    assert mirror.bucket.read("journal.log") == b"+0\n"


def test_only_what_changed_is_sent(tmp_path, far):
    story = Story(tmp_path / "here")
    story.keep()
    bucket = Bucket(f"s3://{BUCKET}/changed")
    Mirror(story.folder, bucket).push()
    far.passed.clear()
    story.keep()
    Mirror(story.folder, bucket).push()  # another process, which reads what was sent
    assert far.written() == [
        "changed/trials/00001/best.npz",
        "changed/journal.log",
        f"changed/{SEAL}",
    ]
    far.passed.clear()
    Mirror(story.folder, bucket).push()
    assert far.passed == []


def test_a_table_takes_no_weights_along(tmp_path, far):
    story = Story(tmp_path / "here")
    story.keep()
    Mirror(story.folder, Bucket(f"s3://{BUCKET}/table")).push()
    reader = Mirror(tmp_path / "reader", Bucket(f"s3://{BUCKET}/table"))
    assert reader.fetch(of_table) == [SEAL, "journal.log"]
    far.passed.clear()
    assert reader.fetch(of_table) == []
    assert [method for method, _ in far.passed] == ["GET"]  # only the list of files


@pytest.mark.cluster  # slow
@pytest.mark.parametrize("seed", range(3))
def test_a_storage_that_fails_one_request_in_ten_holds_the_same_in_the_end(tmp_path, far, seed):
    story, far.one_in = Story(tmp_path / "here"), 10
    bucket = Bucket(f"s3://{BUCKET}/flaky{seed}", waits_s=(0.01, 0.02, 0.05))
    mirror = Mirror(story.folder, bucket)
    for _ in range(10):
        story.keep()
        mirror.push()
        story.drop()
    mirror.push()
    assert far.harmed > 3
    far.one_in = 0
    assert there(bucket) == here(story.folder)
