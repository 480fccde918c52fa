"""Laws of the files that are sent and fetched, over names, times and journals."""

from hypothesis import given
from hypothesis import strategies as st

from tlsearch.results.record.file_names import JOURNAL
from tlsearch.results.remote.differences import (
    NEVER,
    Known,
    is_mirrored,
    of_page,
    of_table,
    still_known,
    to_drop,
    to_fetch,
    to_send,
    which_is_ahead,
    whole_lines,
)

names = st.sampled_from(
    [JOURNAL, "study.yaml", "best/model.keras"]
    + [f"trials/{n:05d}/{file}" for n in range(3) for file in ("log", "best.npz", "resume.npz")]
)
stamps = st.tuples(st.integers(0, 9), st.integers(0, 9))
folders = st.dictionaries(names, stamps)
knowledge = st.dictionaries(names, st.builds(Known, stamps, stamps))
lines = st.lists(st.sampled_from([b"a\n", b"b\n"]), max_size=6).map(b"".join)


@given(folders, knowledge)
def test_what_changed_is_sent_once_and_the_journal_by_itself(local, known):
    sent = to_send(local, known)
    after = known | {name: Known(local[name], NEVER) for name in sent}
    assert to_send(local, after) == []
    assert JOURNAL not in sent
    assert all(name in sent or known[name].local == local[name] for name in {*local} - {JOURNAL})


@given(folders)
def test_resume_states_go_first(local):
    sent = to_send(local, {})
    assert sent == sorted(sent, key=lambda name: not name.endswith("resume.npz"))


@given(folders, folders, knowledge)
def test_only_what_was_sent_and_is_gone_is_dropped(before, after, known):
    dropped = to_drop(before, after, known)
    assert {*dropped} <= {*known}
    assert not {*dropped} & ({*before} | {*after})


@given(folders, folders, knowledge)
def test_what_is_equal_on_both_sides_is_not_fetched_and_the_journal_comes_last(there, local, known):
    came = to_fetch(there, local, known)
    assert JOURNAL not in came[:-1]
    after = known | {name: Known((1, 1), there[name]) for name in came}
    assert to_fetch(there, local | dict.fromkeys(came, (1, 1)), after) == []


@given(folders, folders, knowledge)
def test_what_another_machine_changed_is_sent_again(there, local, known):
    kept = still_known(known, there)
    for name in {*local} & {*known}:
        if there.get(name) != known[name].there and name != JOURNAL:
            assert name in to_send(local, kept)


@given(lines, lines, st.sampled_from([b"", b"tor"]))
def test_one_journal_goes_on_from_the_other_or_they_are_apart(first, more, torn):
    assert which_is_ahead(first + torn, first) == "neither"
    expected = "here" if more else "neither"
    assert which_is_ahead(first + more + torn, first) == expected
    assert which_is_ahead(first, first + more) == ("there" if more else "neither")
    assert which_is_ahead(first + b"c\n" + more, first + b"d\n") == "apart"


@given(st.binary())
def test_whole_lines_end_with_a_line(journal):
    found = whole_lines(journal)
    assert journal.startswith(found)
    assert found == b"" or found.endswith(b"\n")
    assert b"\n" not in journal[len(found) :]


def test_locks_partial_files_and_rays_own_stay():
    assert not any(
        map(is_mirrored, ["ray/trials/x", ".driver.lock", "trials/00001/.best.npz.x", "ray"])
    )
    assert all(map(is_mirrored, ["study.yaml", "trials/00001/best.npz", "best/assets/ray/x"]))


def test_no_report_takes_weights():
    weights = ("trials/00001/best.npz", "trials/00001/resume.npz", "best/model.keras")
    assert not any(of_page(name) or of_table(name) for name in weights)
    assert of_page("trials/00001/curves.jsonl")
    assert not of_table("trials/00001/curves.jsonl")


def test_what_the_best_trials_predicted_is_sent_and_every_report_takes_it():
    name = "trials/00001/predictions.npz"
    assert is_mirrored(name)
    assert of_table(name)
    assert of_page(name)
