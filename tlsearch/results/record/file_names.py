"""The names of the files and folders of a study; no other module spells them out."""

ABOUT, JOURNAL, SEAL = "study.yaml", "journal.log", "journal.sha256.json"
TRIALS, ARTIFACTS, REPORT, BUNDLE = "trials", "artifacts", "report", "best"
TENSORBOARD, RAY = "tensorboard", "ray"
# Of a trial: its output, its learning curve and, while it is unfinished, the state that it resumes
# from; of its best epoch: the weights and their predictions.
LOG, CURVE, RESUME = "log", "curves.jsonl", "resume.npz"
BEST, PREDICTIONS = "best.npz", "predictions.npz"
MANIFEST = "manifest.json"  # of the bundle
DATA, WINNER, TEST = "data.json", "winner.json", "test.json"  # of the artifacts
PAGE = "index.html"  # of the report
# The locks of the driver, of a trial and of a reader; the list of files mirrored to a bucket.
DRIVER_LOCK, TRIAL_LOCK, FETCH_LOCK = ".driver.lock", ".lock", ".fetch.lock"
MIRROR = ".mirror.json"


def trial_name(number: int) -> str:
    """Return a trial's number as file names contain it."""
    return f"{number:05d}"


def in_trial(number: int, file: str) -> str:
    """Return the name of a trial's file, relative to the study directory."""
    return f"{TRIALS}/{trial_name(number)}/{file}"
