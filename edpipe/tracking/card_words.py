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
    intervals
        What the intervals come from.
    subjects
        Whose rows they are, in the plural.
    no_groups
        What stands in the place of the equity table where there is none.
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
    intervals: str = "With 95 % intervals from drawing students again."
    subjects: str = "students"
    no_groups: str = "Not measured: too few students."


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
TSDIFF = CardWords(
    summary="Forecasts series of activity, with quantiles and sample paths, from their recent past.",
    headline=("crps", "Test CRPS"),
    metrics={
        "crps": "CRPS",
        "coverage_50": "inside 50 %",
        "coverage_80": "inside 80 %",
        "coverage_90": "inside 90 %",
        "width_90": "width of 90 %",
        "normalized_deviation": "normalized deviation",
        "mase": "MASE",
    },
    subsets={"all": ""},
    groups={},
    group_metrics={},
    group_intro="",
    rows="windows",
    scored="steps",
    outcome="at or below the quantile",
    splits=(
        "Split by time: training ends before the validation windows, those before the test windows. The "
        "test part is opened once a run. Scores on validation are of windows that the correction of the "
        "spread had not seen."
    ),
    load="""```python
import mlflow

model = mlflow.pyfunc.load_model("models:/{name}@champion")
# a long table: series_id, time, target; gives series_id, time, step and a column a quantile
model.predict(series)
```""",
    limits=(
        "Forecasts are of sums over many students, never of one; periods with few students are suppressed "
        "before anything is learned.",
        "Values that are suppressed are small ones: a series with many of them looks larger than it is.",
        "A flow knows hour and weekday, the unconditional model its lags; holidays come unforeseen to both.",
        "Intervals hold for windows like those of validation: what changes the platform changes them.",
        "With few series or a short past, a seasonal naive or a ridge may be as good: look at the table.",
    ),
    intervals=(
        "With 95 % intervals from drawing series again, or windows where series are few. CRPS is the mean "
        "weighted quantile loss over nine deciles."
    ),
    subjects="series",
    no_groups="Not asked: forecasts are of sums over students, not of students.",
)
DIFFUMIN = CardWords(
    summary="Predicts whether a student takes up an item next, from the items of the past.",
    headline=("auc", "Test AUC"),
    metrics={
        "auc": "AUC",
        "grouped_auc": "AUC in a student",
        "log_loss": "log loss",
        "predicted_over_clicked": "predicted / real",
        "calibration_error": "calibration error",
    },
    subsets={
        "all": "",
        "history:0": ", no behavior before",
        "history:1-20": ", 1 to 20 behaviors before",
        "history:21-100": ", 21 to 100 behaviors before",
        "history:101-1,000": ", 101 to 1,000 behaviors before",
        "history:1,001+": ", more behaviors before",
    },
    groups={},
    group_metrics={},
    group_intro="",
    rows="targets",
    scored="impressions",
    outcome="taken up",
    splits=(
        "Split by time within each student: the latest targets are the test, those before them validation. "
        "The test part is opened once a run."
    ),
    load="""```python
import mlflow

model = mlflow.pyfunc.load_model("models:/{name}@champion")
# columns student_id, item_id, outcome, is_asked: past behaviors in order, then the items asked about;
# student_id, item_id, probability of the items asked about, in their order
model.predict(rows)
```""",
    limits=(
        "What a student took up next is not what is good for the student, and what was shown and passed over "
        "is not in these logs: no claim is made of what a recommendation would cause.",
        "Where the target is the next item, probabilities are those beside items drawn by popularity: they "
        "order items and say nothing of how often an item will be taken up.",
        "Items never met in training are scored by their categories alone, and are never recommended.",
        "Which behaviors carried a score tells what the network read, not why the student acts.",
        "A network that samples noise anew each time (preset paper or released) can be measured only.",
    ),
    no_groups="Not measured: mastery is not asked of these logs.",
)
WORDS = {"tracing": TRACING, "strategy": STRATEGY, "tsdiff": TSDIFF, "diffumin": DIFFUMIN}
