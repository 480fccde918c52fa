"""The names of the files and folders of a study; nothing else spells them."""

ABOUT, JOURNAL, SEAL = "study.yaml", "journal.log", "journal.sha256.json"
TRIALS, ARTIFACTS, REPORT, BUNDLE = "trials", "artifacts", "report", "best"
TENSORBOARD, RAY = "tensorboard", "ray"
# Of a trial: output, curve, and while it is unfinished the state that it goes on from; of its best
# epoch, weights and what they predict.
LOG, CURVE, RESUME = "log", "curves.jsonl", "resume.npz"
BEST, PREDICTIONS = "best.npz", "predictions.npz"
MANIFEST = "manifest.json"  # of the bundle
DATA, WINNER, TEST = "data.json", "winner.json", "test.json"  # of the artifacts
PAGE = "index.html"  # of the report
# Locks of the driver, of a trial and of a reader; what of the study has travelled to a bucket.
DRIVER_LOCK, TRIAL_LOCK, FETCH_LOCK = ".driver.lock", ".lock", ".fetch.lock"
MIRROR = ".mirror.json"


def trial_name(number: int) -> str:
    """A trial's number as names of files hold it."""
    return f"{number:05d}"


def in_trial(number: int, file: str) -> str:
    """The name of a trial's file from the study's folder."""
    return f"{TRIALS}/{trial_name(number)}/{file}"
