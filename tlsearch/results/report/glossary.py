"""The definitions of the numbers and terms in a report."""

from collections.abc import Mapping

from tlsearch.config.trial_config import SHOWN
from tlsearch.results.rank.leaderboard import COLUMN_HELP

METRICS: Mapping[str, str] = {
    "accuracy": "Share of pictures whose most probable class is the right one; 1 is perfect.",
    "balanced_accuracy": "Mean over the classes of the share of their pictures recognised.",
    "macro_f1": "Mean over the classes of F1, the harmonic mean of precision and recall.",
    "auc": "Area under the ROC curve, each class against the rest, averaged over the classes.",
    "loss": "Mean negative log probability of the right class, in nats; less is better.",
}

# The winner's scores: the metrics that a study can rank by, and others.
SCORES: Mapping[str, str] = {
    **METRICS,
    "top_2_accuracy": "Share of pictures whose class is among the two most probable ones.",
    "top_3_accuracy": "Share of pictures whose class is among the three most probable ones.",
    "top_5_accuracy": "Share of pictures whose class is among the five most probable ones.",
    "calibration_error": "Expected calibration error: pictures are put into 15 bins of equal width "
    "by the probability of the class they were given; the mean difference of accuracy and that "
    "probability, with bins weighted by their number of pictures. 0 is best.",
}

# The fields of a learning curve and of a trial's details that are not columns of the leaderboard.
CURVE: Mapping[str, str] = {
    "learning_rate": "the rate of the trial's own phase: head_lr with a frozen backbone, else "
    "fine_tune_lr",
    "epoch": "epochs trained after the warm-up; 0 is after the warm-up",
    "value": "the study's metric on the validation split after this epoch",
    "train_loss": "mean loss over the epoch's training batches, dropout included",
    "train_value": "the study's metric on the epoch's training batches, each before its own step",
    "train_accuracy": "accuracy on the epoch's training batches, each before its own step",
    "validation_loss": "mean loss on the validation split after this epoch",
    "validation_accuracy": "accuracy on the validation split after this epoch",
    "worker": "node and process that trained the trial",
    **{name: shown.help for name, shown in SHOWN.items() if name not in COLUMN_HELP},
}

TERMS: Mapping[str, str] = {
    "trial": "One configuration, trained and scored.",
    "baseline": "A score that any search must beat, on the validation split: always naming the "
    "most frequent class, or a plain classifier on unchanged features or pixels.",
    "test": "The metric of one trial, computed once after the search on pictures that no trial "
    "has seen.",
    "interval": "Given the number of pictures, the true score lies between these ends in 95 of 100 "
    "cases.",
    "varied": "What the search chose itself; everything else is the same in every trial.",
    "rung": "An epoch at which the search compares trials: only the best share of those "
    "that reached it goes on, the others are stopped early.",
    "warm-up": "Training of the head alone, before any layer of the backbone is unfrozen.",
    "importance": "Share of the variance in score over the search space that this parameter "
    "explains alone; the rest is chance or interactions of parameters. Computed by functional "
    "ANOVA on a forest of decision trees. A rate that not all trials use counts where it is used. "
    "Associations, not causes.",
    "importance interval": "90 % bootstrap interval: the share lies in it in 9 of 10 resamples of "
    "the trials.",
    "importance word": "A parameter matters where it explains more than random numbers would in 9 "
    "of 10 repetitions, and hardly where the interval ends below 5 %. Elsewhere, and where the "
    "forest cannot predict trials that it has not seen, there are too few trials to tell.",
    "more": "A point for each trial when it ended; the line is the best score until then. Time in "
    "which no trial was at work is left out.",
    "parallel": "One line per trial, through its value on every axis; each axis runs from the "
    "least value tried to the greatest.",
    "slice": "Each point is a trial: the value of one parameter against its best metric.",
    "pareto": "Trials that no other trial beats in both: a better metric in less time.",
    "slot": "A place where one trial trains at a time: one process on one machine.",
    "confusion": "How many pictures of each true class are predicted as each class.",
    "precision": "Of the pictures given this class, the share that show it.",
    "recall": "Of the pictures that show this class, the share given it.",
    "f1": "Harmonic mean of precision and recall.",
    "images": "How many pictures of the split show this class.",
    "class": "A class of the data, as its folder or data set names it.",
    "probability": "The probability that the network gave the class it named.",
    "mistake": "A picture whose predicted class is wrong; the most confident mistakes come first.",
    "train": "Pictures that the trials were trained on.",
    "validation": "Pictures that trials were compared on; never trained on.",
    "test split": "Pictures held back until the search was over.",
    "bytes": "Size of the exported file.",
    "latency": "Median time to classify one batch, by batch size and threads, on the machine that "
    "exported the model.",
    "export accuracy": "Accuracy of this very file on validation pictures.",
    "agreement": "Share of validation pictures on which this file and the trained network agree.",
    "version": "The release of the package that this study ran on.",
}


# Technical terms in the reasons why trials ended.
REASONS: Mapping[str, str] = {
    "rung": TERMS["rung"],
    "warm-up": TERMS["warm-up"],
    "diverged": "The loss grew without bound or became NaN, usually because the learning rate is "
    "too large.",
    "median": "The median of the other trials' mean scores up to that epoch.",
}


def of_column(name: str, metric: str) -> str:
    """Return the definition of a column; that of `metric` includes the definition of the metric."""
    meaning = {**COLUMN_HELP, **CURVE}.get(name, "")
    return f"{meaning}. {METRICS.get(metric, '')}" if name == "metric" else meaning
