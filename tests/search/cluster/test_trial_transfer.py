"""Files of trials that train on other nodes than the driver's end up with the driver."""

from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster.trial_transfer import TrialFolder, handover, trial_folder


def test_where_all_nodes_share_the_directory_nothing_is_handed_over(tmp_path):
    assert handover(StudyDirectory(tmp_path), tmp_path) is None
    with trial_folder(tmp_path, 3, None) as folder:
        folder.fetch("resume.npz")
        (folder.path / "log").write_text("trained here")
    assert folder.path == StudyDirectory(tmp_path).trial(3)
    assert (folder.path / "log").read_text() == "trained here"
    assert isinstance(folder, TrialFolder)
