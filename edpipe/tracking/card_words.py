"""What the model cards of each family say in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CardWords:
    """Words of one family.

    Attributes
    ----------
    summary
        What the model does, one sentence.
    headline
        Metric and its title for the first lines.
    metrics
        Metrics of the table of scores, with titles.
    subsets
        Subsets with a table of their own, with what is added to its title.
    groups
        Subsets of the equity table, with titles, in order.
    group_metrics
        Metrics of the equity table, with titles.
    group_intro
        How the groups were made and what the gap means.
    rows, scored
        What a row of the training data and a scored row are, in the plural.
    outcome
        What a calibrated probability is of: share …
    splits
        How the rows are divided.
    load
        Code that loads and asks the model, with ``{name}``.
    limits
        What the model is not.
    """

    summary: str
    headline: tuple[str, str]
    metrics: Mapping[str, str]
    subsets: Mapping[str, str]
    groups: Mapping[str, str]
    group_metrics: Mapping[str, str]
    group_intro: str
    rows: str
    scored: str
    outcome: str
    splits: str
    load: str
    limits: tuple[str, ...]


GROUPS = {f"mastery:{name}": name for name in ("low", "middle", "high", "gap")}
FIFTHS = {
    **{f"mastery:{name}": name for name in ("lowest", "low", "middle", "high", "highest")},
    "mastery:short_history": "short history",
    "mastery:worst": "worst group",
    "mastery:gap": "gap",
    "mastery:gap_standardized": "gap, standardized",
    "mastery:gap_over_lookup": "gap over the lookup",
}

TRACING = CardWords(
    summary="Predicts whether a student's next answer is right, from the earlier ones.",
    headline=("auc", "Test AUC"),
    metrics={
        "auc": "AUC",
        "log_loss": "log loss",
        "accuracy": "accuracy",
        "calibration_error": "calibration error",
    },
    subsets={"all": "", "first_rows": ", first rows of repeated problems"},
    groups=GROUPS,
    group_metrics={
        "auc": "AUC",
        "calibration_error": "calibration error",
        "false_positive_rate": "false positives",
    },
    group_intro=(
        "Students by the share of right answers at the start of their history, scored on the rest. The "
        "gap in the false positive rate (wrong answers predicted right) is the lack of predictive equality."
    ),
    rows="interactions",
    scored="answers",
    outcome="right",
    splits="Split by student: no student is in two parts. The test part is opened once a run.",
    load="""```python
import mlflow

model = mlflow.pyfunc.load_model("models:/{name}@champion")
# columns student_id, item_id, is_correct, elapsed_seconds, answered_at; one probability a row,
# from the earlier rows of the same student
model.predict(answers)
```""",
    limits=(
        "The probability is for the student's next answer to an item as these students met it; it is no "
        "measure of a person, and no decision about one should rest on it alone.",
        "Mastery is what the model expects on a KC's items; a KC with few items or answers is uncertain.",
        "Items and KCs never met in training are treated as unknown ones.",
        "Students, items and times of other platforms differ: measure again before use there.",
    ),
)
STRATEGY = CardWords(
    summary=(
        "Predicts the strategy, the KCs in order, that a student will use on a problem, before any step "
        "is seen."
    ),
    headline=("exact_match", "Test exact match"),
    metrics={
        "exact_match": "exact match",
        "jaccard": "Jaccard",
        "edit_similarity": "edit similarity",
        "lcs_f1": "LCS-F1",
        "next_kc_accuracy": "next KC",
        "log_likelihood": "log likelihood a token",
    },
    subsets={
        "all": "",
        "seen_problems": ", problems seen in training",
        "unseen_problems": ", problems new to training",
        "departures": ", where the student leaves the usual strategy",
    },
    groups=FIFTHS,
    group_metrics={
        "exact_match": "exact match",
        "jaccard": "Jaccard",
        "edit_similarity": "edit similarity",
    },
    group_intro=(
        "Students in fifths by their mastery before the attempt, each KC beside its mean, cut on training "
        "students. The gap is the best group less the worst: 0 for a predictor that is equally good for "
        "every learner. Standardized, all groups are taken to have met the same sections; over the lookup, "
        "it is the gap of what is gained on the most frequent strategy of the problem."
    ),
    rows="attempts",
    scored="attempts",
    outcome="exactly right",
    splits="The test part is opened once a run.",
    load="""```python
import mlflow

model = mlflow.pyfunc.load_model("models:/{name}@champion")
# columns student_id, problem_id and, where the problem may be new, section_id;
# gives strategy (KCs joined by " ~~ ") and confidence
model.predict(asked)
```""",
    limits=(
        "The strategy is what this student would do on this problem as these students met it; it is no "
        "measure of a person, and no decision about one should rest on it alone.",
        "A KC that never occurred in a section in training is never predicted there.",
        "A student never met is taken as one of no known mastery; a problem never met as its section.",
        "The logged model carries ids of students with counts of their answers: keep it as you keep the "
        "data.",
        "KCs and problems of other curricula differ: measure again before use there.",
    ),
)
WORDS = {"tracing": TRACING, "strategy": STRATEGY}
