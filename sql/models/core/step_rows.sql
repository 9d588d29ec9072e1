MODEL (
  name core.step_rows,
  kind FULL,
  grain (source, source_file, source_row, kc_set_key),
  description 'Rows of student-step roll-ups, and steps rolled up from transactions, with the step that each belongs to. Rows of one student, problem, view and step are one step: the first with a known first attempt, by time, Row and file order, says what happened, and KCs of all are joined.',
  columns (
    source TEXT,
    relation TEXT,
    source_file TEXT,
    source_row INT,
    published_row INT,
    published_split TEXT,
    student_key INT,
    item_key INT,
    problem_view INT,
    started_milliseconds BIGINT,
    step_start_milliseconds BIGINT,
    correct_milliseconds BIGINT,
    ended_milliseconds BIGINT,
    elapsed_seconds DOUBLE,
    correct_elapsed_seconds DOUBLE,
    error_elapsed_seconds DOUBLE,
    first_attempt TEXT,
    incorrects INT,
    hints INT,
    corrects INT,
    kc_set_key INT,
    num_source_rows BIGINT,
    is_opportunity_mismatch BOOLEAN,
    is_first_row BOOLEAN,
    num_rows BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    relation = 'steps where the step stands in a student-step roll-up, transactions where it was rolled up here.',
    source_file = 'File the row was read from.',
    source_row = 'Data row in its file, from 1.',
    published_row = 'Column Row of the file: neither dense nor from 1.',
    published_split = 'Word of the file name: train, valid, test or master; null where it has none. Not the split of the student.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    problem_view = 'Time the student meets the problem as published, from 1; 1 where not published.',
    started_milliseconds = 'First action on the step, milliseconds since 1970 of the clock as written; else the first right answer, else the last action; null in blank rows.',
    step_start_milliseconds = 'Start of the step, milliseconds since 1970 of the clock as written; inferred by the publisher; null after long gaps.',
    correct_milliseconds = 'First right answer, milliseconds since 1970 of the clock as written.',
    ended_milliseconds = 'Last action on the step, milliseconds since 1970 of the clock as written.',
    elapsed_seconds = 'Seconds on the step; null after long gaps.',
    correct_elapsed_seconds = 'Seconds on a step whose first attempt was right.',
    error_elapsed_seconds = 'Seconds on a step whose first attempt was wrong or a hint.',
    first_attempt = 'correct, incorrect or hint; null where blank.',
    incorrects = 'Wrong answers on the step.',
    hints = 'Hints on the step, each change of the hint level counted.',
    corrects = 'Right answers on the step.',
    kc_set_key = 'Dense number of the set of KCs, from 1; null where the row has none.',
    num_source_rows = 'Rows of the source that this row stands for: 1, or the judged transactions.',
    is_opportunity_mismatch = 'True where the cells of KCs and of opportunities have different lengths.',
    is_first_row = 'True on the row that says what happened at the step.',
    num_rows = 'Rows of this step.'
  ),
  audits (
    not_null(columns := (source, relation, source_file, source_row, student_key, item_key, problem_view, num_source_rows, is_opportunity_mismatch, is_first_row, num_rows)),
    unique_combination_of_columns(columns := (source, source_file, source_row, kc_set_key))
  )
);

WITH linked AS (
  SELECT
    steps.source,
    'steps' AS relation,
    steps.source_file,
    steps.source_row,
    steps.published_row,
    steps.published_split,
    students.student_key,
    items.item_key,
    steps.problem_view,
    steps.started_milliseconds,
    steps.step_start_milliseconds,
    steps.correct_milliseconds,
    steps.ended_milliseconds,
    steps.elapsed_seconds,
    steps.correct_elapsed_seconds,
    steps.error_elapsed_seconds,
    steps.first_attempt,
    steps.incorrects,
    steps.hints,
    steps.corrects,
    sets.kc_set_key,
    1 AS num_source_rows,
    COALESCE(
      LENGTH(sets.cell) - LENGTH(REPLACE(sets.cell, '~~', ''))
      <> LENGTH(@entry_at(steps.opportunity_cells, @position_of(steps.kc_models, datasets.kc_model)))
      - LENGTH(REPLACE(@entry_at(steps.opportunity_cells, @position_of(steps.kc_models, datasets.kc_model)), '~~', '')),
      FALSE
    ) AS is_opportunity_mismatch
  FROM staging.tutor_steps AS steps
  INNER JOIN core.tutor_datasets AS datasets ON steps.source = datasets.source AND steps.dataset = datasets.dataset
  INNER JOIN core.tutor_students AS students ON steps.source = students.source AND steps.student_id = students.student_id
  INNER JOIN core.problem_steps AS items ON steps.source = items.source AND steps.item_id = items.item_id
  LEFT JOIN (SELECT DISTINCT source, dataset, cell, kc_set_key FROM core.kc_sets) AS sets
    ON steps.source = sets.source
    AND steps.dataset = sets.dataset
    AND @entry_at(steps.kc_cells, @position_of(steps.kc_models, datasets.kc_model)) = sets.cell
  UNION ALL
  SELECT
    source,
    'transactions' AS relation,
    source_file,
    source_row,
    published_row,
    published_split,
    student_key,
    item_key,
    problem_view,
    started_milliseconds,
    step_start_milliseconds,
    correct_milliseconds,
    ended_milliseconds,
    elapsed_seconds,
    correct_elapsed_seconds,
    error_elapsed_seconds,
    first_attempt,
    incorrects,
    hints,
    corrects,
    kc_set_key,
    num_transactions AS num_source_rows,
    FALSE AS is_opportunity_mismatch
  FROM core.transaction_steps
)
SELECT
  source,
  relation,
  source_file,
  source_row,
  published_row,
  published_split,
  student_key,
  item_key,
  problem_view,
  started_milliseconds,
  step_start_milliseconds,
  correct_milliseconds,
  ended_milliseconds,
  elapsed_seconds,
  correct_elapsed_seconds,
  error_elapsed_seconds,
  first_attempt,
  incorrects,
  hints,
  corrects,
  kc_set_key,
  num_source_rows,
  is_opportunity_mismatch,
  ROW_NUMBER() OVER (
    PARTITION BY student_key, item_key, problem_view
    ORDER BY
      CASE WHEN first_attempt IS NULL THEN 1 ELSE 0 END,
      started_milliseconds NULLS LAST,
      published_row NULLS LAST,
      source_file,
      source_row,
      kc_set_key NULLS LAST
  ) = 1 AS is_first_row,
  COUNT(*) OVER (PARTITION BY student_key, item_key, problem_view) AS num_rows
FROM linked
