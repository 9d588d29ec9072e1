MODEL (
  name core.transaction_steps,
  kind FULL,
  grain (student_key, item_key, problem_view, kc_set_key),
  description 'Steps rolled up from transactions by the rules of DataShop: the first attempt is the first judged action, ordered by time, attempt number and file order. A step whose actions name several sets of KCs has one row a set.',
  columns (
    source TEXT,
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
    num_transactions BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
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
    num_transactions = 'Judged actions of the step; 0 on the second and later rows of a step.'
  ),
  audits (
    unique_combination_of_columns(columns := (student_key, item_key, problem_view, kc_set_key)),
    not_null(columns := (source, source_file, source_row, student_key, item_key, problem_view, first_attempt, num_transactions))
  )
);

WITH linked AS (
  SELECT
    transactions.source,
    transactions.source_file,
    transactions.source_row,
    transactions.published_row,
    transactions.published_split,
    students.student_key,
    items.item_key,
    transactions.problem_view,
    transactions.acted_milliseconds,
    transactions.attempt_at_step,
    transactions.elapsed_seconds,
    transactions.outcome,
    sets.kc_set_key
  FROM staging.tutor_transactions AS transactions
  INNER JOIN core.tutor_datasets AS datasets
    ON transactions.source = datasets.source AND transactions.dataset = datasets.dataset AND datasets.relation = 'transactions'
  INNER JOIN core.tutor_students AS students
    ON transactions.source = students.source AND transactions.student_id = students.student_id
  INNER JOIN core.problem_steps AS items ON transactions.source = items.source AND transactions.item_id = items.item_id
  LEFT JOIN (SELECT DISTINCT source, dataset, cell, kc_set_key FROM core.kc_sets) AS sets
    ON transactions.source = sets.source
    AND transactions.dataset = sets.dataset
    AND @entry_at(transactions.kc_cells, @position_of(transactions.kc_models, datasets.kc_model)) = sets.cell
  WHERE transactions.untutored_rule IS NULL
), ordered AS (
  SELECT
    linked.*,
    ROW_NUMBER() OVER (
      PARTITION BY student_key, item_key, problem_view
      ORDER BY acted_milliseconds NULLS LAST, attempt_at_step NULLS LAST, published_row NULLS LAST, source_file, source_row
    ) AS place
  FROM linked
), steps AS (
  SELECT
    source,
    student_key,
    item_key,
    problem_view,
    MIN(CASE WHEN place = 1 THEN source_file END) AS source_file,
    MIN(CASE WHEN place = 1 THEN source_row END) AS source_row,
    MIN(CASE WHEN place = 1 THEN published_row END) AS published_row,
    MIN(published_split) AS published_split,
    MIN(acted_milliseconds) AS started_milliseconds,
    MIN(CASE WHEN place = 1 THEN acted_milliseconds - CAST(elapsed_seconds * 1000 AS BIGINT) END) AS step_start_milliseconds,
    MIN(CASE WHEN outcome = 'correct' THEN acted_milliseconds END) AS correct_milliseconds,
    MAX(acted_milliseconds) AS ended_milliseconds,
    SUM(elapsed_seconds) AS elapsed_seconds,
    MIN(CASE WHEN place = 1 THEN outcome END) AS first_attempt,
    SUM(CASE WHEN outcome = 'incorrect' THEN 1 ELSE 0 END) AS incorrects,
    SUM(CASE WHEN outcome = 'hint' THEN 1 ELSE 0 END) AS hints,
    SUM(CASE WHEN outcome = 'correct' THEN 1 ELSE 0 END) AS corrects,
    MIN(kc_set_key) AS first_set_key,
    COUNT(*) AS num_transactions
  FROM ordered
  GROUP BY source, student_key, item_key, problem_view
), sets AS (
  SELECT DISTINCT student_key, item_key, problem_view, kc_set_key FROM linked WHERE kc_set_key IS NOT NULL
)
SELECT
  steps.source,
  steps.source_file,
  steps.source_row,
  steps.published_row,
  steps.published_split,
  steps.student_key,
  steps.item_key,
  steps.problem_view,
  steps.started_milliseconds,
  steps.step_start_milliseconds,
  steps.correct_milliseconds,
  steps.ended_milliseconds,
  steps.elapsed_seconds,
  CASE WHEN steps.first_attempt = 'correct' THEN steps.elapsed_seconds END AS correct_elapsed_seconds,
  CASE WHEN steps.first_attempt <> 'correct' THEN steps.elapsed_seconds END AS error_elapsed_seconds,
  steps.first_attempt,
  steps.incorrects,
  steps.hints,
  steps.corrects,
  sets.kc_set_key,
  CASE WHEN sets.kc_set_key IS NULL OR sets.kc_set_key = steps.first_set_key THEN steps.num_transactions ELSE 0 END AS num_transactions
FROM steps
LEFT JOIN sets
  ON steps.student_key = sets.student_key AND steps.item_key = sets.item_key AND steps.problem_view = sets.problem_view
