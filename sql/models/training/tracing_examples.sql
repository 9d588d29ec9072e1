MODEL (
  name training.tracing_examples,
  kind FULL,
  grain (student_key, interaction_number),
  description 'What a knowledge tracer reads: one step an answered item of known correctness, ordered by student and interaction.',
  columns (
    source TEXT,
    student_key INT,
    student_id TEXT,
    split TEXT,
    interaction_number INT,
    item_key INT,
    is_correct BOOLEAN,
    elapsed_seconds DOUBLE,
    lag_seconds DOUBLE,
    answered_at TIMESTAMPTZ
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    split = 'train, valid or test: the part of the split the student is wholly in.',
    interaction_number = 'Order of the interactions of the student, from 1.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    is_correct = 'Right or wrong: the label.',
    elapsed_seconds = 'Seconds on this item; known only after the answer.',
    lag_seconds = 'Seconds from the previous answer to this display; null on the first interaction or without times.',
    answered_at = 'When answered, UTC; null where the source has no times.'
  ),
  audits (
    not_null(columns := (student_key, split, interaction_number, item_key, is_correct)),
    same_total(here := COUNT(*), relation := core.interactions, there := SUM(CASE WHEN NOT is_correct IS NULL THEN 1 ELSE 0 END))
  )
);

SELECT
  interactions.source,
  interactions.student_key,
  interactions.student_id,
  students.split,
  interactions.interaction_number,
  interactions.item_key,
  interactions.is_correct,
  interactions.elapsed_seconds,
  interactions.lag_seconds,
  interactions.answered_at
FROM core.interactions AS interactions
INNER JOIN core.students AS students ON interactions.student_key = students.student_key
WHERE interactions.is_correct IS NOT NULL
ORDER BY interactions.student_key, interactions.interaction_number
