"""A contract for every storage: files appear whole, and errors say what to check."""

import pytest
from far_storage import BUCKET, environment, far_storage
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsearch.base.errors import ConfigError, StorageError
from tlsearch.results.remote.bucket import Bucket


@pytest.fixture(scope="module")
def far():
    with far_storage() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(found).items():
            patch.setenv(name, value)
        yield found


@pytest.fixture(params=["s3", "file"])
def bucket(request, tmp_path, far):
    url = f"s3://{BUCKET}/{tmp_path.name}" if request.param == "s3" else f"file://{tmp_path}/one"
    far.one_in, far.away = 0, False
    return Bucket(url)


def test_what_is_written_is_read_and_listed(bucket):
    assert bucket.stamps() == {}
    stamp = bucket.write("trials/00001/best.npz", b"weights")
    assert bucket.read("trials/00001/best.npz") == b"weights"
    assert bucket.stamps() == {"trials/00001/best.npz": stamp}
    assert stamp[0] == len(b"weights")


def test_the_last_one_written_counts(bucket):
    bucket.write("study.yaml", b"old")
    bucket.write("study.yaml", b"newer")
    assert bucket.read("study.yaml") == b"newer"
    assert bucket.stamp("study.yaml")[0] == len(b"newer")


def test_what_is_removed_is_gone_and_may_be_removed_again(bucket):
    bucket.write("a", b"1")
    bucket.remove("a")
    bucket.remove("a")
    assert bucket.stamps() == {}
    for look in (bucket.read, bucket.stamp):
        with pytest.raises(FileNotFoundError):
            look("a")


@settings(max_examples=5, deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_come_back(far, data):
    bucket = Bucket(f"s3://{BUCKET}/any")
    bucket.write("bytes", data)
    assert bucket.read("bytes") == data


def test_a_large_file_comes_back_through_failures(far):
    data, far.one_in = bytes(range(256)) * 25_000, 5
    bucket = Bucket(f"s3://{BUCKET}/large", waits_s=(0.01,) * 9)
    bucket.write("best.npz", data)
    assert bucket.read("best.npz") == data
    far.one_in = 0


def test_a_storage_that_is_away_says_what_to_check(far):
    bucket, far.away = Bucket(f"s3://{BUCKET}/one", waits_s=()), True
    with pytest.raises(StorageError) as failed:
        bucket.read("study.yaml")
    far.away = False
    text = str(failed.value)
    assert text.startswith(f"s3://{BUCKET}/one: the storage cannot be used (")
    assert text.endswith(
        "check the bucket's name, the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a "
        f"profile, or the machine's role) and the endpoint (AWS_ENDPOINT_URL is {far.endpoint})"
    )
    assert failed.value.exit_code == 3


def test_a_missing_bucket_is_told(far):
    with pytest.raises(StorageError, match="there is no such bucket"):
        Bucket("s3://another/one").require()
    with pytest.raises(StorageError, match="NO_SUCH_BUCKET"):
        Bucket("s3://another/one").write("a", b"1")


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "file://", "file://host/x", "s3://b/x?y"])
def test_other_urls_are_refused(url):
    with pytest.raises(ConfigError, match=r"expected s3://BUCKET/PATH, gs://BUCKET/PATH or file"):
        Bucket(url)


def test_a_shared_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "one").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="check that the folder is mounted"):
        Bucket(f"file://{tmp_path}/one", waits_s=()).write("a", b"1")
