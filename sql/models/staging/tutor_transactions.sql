MODEL (
  name staging.tutor_transactions,
  kind VIEW,
  grain (source, source_file, source_row),
  description 'Transactions of tutors, one row a source row, with one vocabulary of outcomes and the rule by which a row is no attempt at a step.',
  columns (
    source TEXT,
    dataset TEXT,
    source_file TEXT,
    source_row INT,
    published_row INT,
    published_split TEXT,
    student_id TEXT,
    section_id TEXT,
    problem_id TEXT,
    problem_view INT,
    item_id TEXT,
    acted_milliseconds BIGINT,
    attempt_at_step INT,
    elapsed_seconds DOUBLE,
    outcome TEXT,
    untutored_rule TEXT,
    kc_models TEXT[],
    kc_cells TEXT[]
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    dataset = 'Name of the data set: the file name without train, test, master, transactions.',
    source_file = 'File the row was read from.',
    source_row = 'Data row in its file, from 1.',
    published_row = 'Column Row of the file: neither dense nor from 1.',
    published_split = 'Word of the file name: train, valid, test or master; null where it has none. Not the split of the student.',
    student_id = 'Published student id; of tutors: data set and published id.',
    section_id = 'Section of the curriculum: data set and published hierarchy.',
    problem_id = 'Problem: section and published name.',
    problem_view = 'Time the student meets the problem as published, from 1; 1 where not published.',
    item_id = 'Step: problem and published step name; null where no step is named.',
    acted_milliseconds = 'When, milliseconds since 1970 of the clock as written; null where not published.',
    attempt_at_step = 'Number of the attempt at the step as published.',
    elapsed_seconds = 'Seconds since the transaction before.',
    outcome = 'correct, incorrect or hint; null where the tutor judged nothing or the word is not known.',
    untutored_rule = 'Why the row is no attempt: autofilled, no_step, no_outcome, unknown_outcome; null for attempts.',
    kc_models = 'KC models of the file, parallel to kc_cells.',
    kc_cells = 'KCs of each model, several joined by ~~.'
  ),
  audits (
    not_null(columns := (source, dataset, source_file, source_row, student_id, section_id, problem_id)),
    accepted_values(column := outcome, is_in := ('correct', 'incorrect', 'hint')),
    accepted_values(column := untutored_rule, is_in := ('autofilled', 'no_step', 'no_outcome', 'unknown_outcome'))
  )
);

WITH judged AS (
  SELECT
    transactions.*,
    CASE
      WHEN UPPER(outcome) IN ('CORRECT', 'OK') THEN 'correct'
      WHEN UPPER(outcome) IN ('INCORRECT', 'ERROR', 'BUG', 'JIT') THEN 'incorrect'
      WHEN UPPER(outcome) IN ('HINT', 'INITIAL_HINT', 'HINT_LEVEL_CHANGE') THEN 'hint'
    END AS judged_outcome
  FROM (
    SELECT 'datashop' AS source, datashop.* FROM raw.datashop_transactions AS datashop
    UNION ALL
    SELECT 'mathia' AS source, mathia.* FROM raw.mathia_transactions AS mathia
  ) AS transactions
)
SELECT
  source,
  dataset,
  source_file,
  source_row,
  published_row,
  split AS published_split,
  dataset || '/' || student_id AS student_id,
  dataset || '/' || COALESCE(problem_hierarchy, 'no section') AS section_id,
  dataset || '/' || COALESCE(problem_hierarchy, 'no section') || '/' || COALESCE(problem_name, 'no problem') AS problem_id,
  COALESCE(problem_view, 1) AS problem_view,
  dataset || '/' || COALESCE(problem_hierarchy, 'no section') || '/' || COALESCE(problem_name, 'no problem') || '/' || step_name AS item_id,
  milliseconds AS acted_milliseconds,
  attempt_at_step,
  CASE WHEN duration_seconds >= 0 THEN duration_seconds END AS elapsed_seconds,
  judged_outcome AS outcome,
  CASE
    WHEN is_autofilled THEN 'autofilled'
    WHEN step_name IS NULL THEN 'no_step'
    WHEN outcome IS NULL OR UPPER(outcome) = 'STUDY' THEN 'no_outcome'
    WHEN judged_outcome IS NULL THEN 'unknown_outcome'
  END AS untutored_rule,
  kc_models,
  kc_cells
FROM judged
