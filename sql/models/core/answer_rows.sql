MODEL (
  name core.answer_rows,
  kind FULL,
  grain (source, student_id, row_number),
  description 'ASSISTments source rows in order, with the interaction each belongs to. A problem with several skills is repeated once a skill: neighbouring rows of one problem and one answer are one interaction until a skill comes round again.',
  columns (
    source TEXT,
    student_id TEXT,
    row_number INT,
    source_file TEXT,
    source_row INT,
    split TEXT,
    item_id TEXT,
    kc_id TEXT,
    is_correct BOOLEAN,
    elapsed_seconds DOUBLE,
    interaction_number INT,
    is_first_row BOOLEAN
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    student_id = 'Published student id.',
    row_number = 'Position of the row within the student over all files, from 1.',
    source_file = 'File the row was read from.',
    source_row = 'Order within the student in that file, from 1.',
    split = 'train, valid or test when the file name says so.',
    item_id = 'Published item id: EdNet question, ASSISTments problem (or `kc:` and the skill where no problem is published), step of a tutor''s problem.',
    kc_id = 'Published knowledge component: EdNet tag as text, ASSISTments skill, KC of a tutor behind its data set.',
    is_correct = 'Right or wrong; null where the source has neither 0 nor 1.',
    elapsed_seconds = 'Seconds to the first response.',
    interaction_number = 'Order of the interactions of the student, from 1.',
    is_first_row = 'True on the first row of each interaction.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, student_id, row_number)),
    not_null(columns := (student_id, row_number, item_id, interaction_number)),
    same_total(here := COUNT(*), relation := staging.assistments_answers, there := COUNT(*))
  )
);

WITH ordered AS (
  SELECT
    answers.*,
    ROW_NUMBER() OVER (PARTITION BY student_id ORDER BY source_file, source_row) AS row_number,
    LAG(source_file) OVER (PARTITION BY student_id ORDER BY source_file, source_row) AS previous_file,
    LAG(problem_id) OVER (PARTITION BY student_id ORDER BY source_file, source_row) AS previous_problem,
    LAG(is_correct) OVER (PARTITION BY student_id ORDER BY source_file, source_row) AS previous_correct
  FROM (
    SELECT student_id, source_file, source_row, split, problem_id, item_id, kc_id, is_correct, elapsed_seconds
    FROM staging.assistments_answers
  ) AS answers
), runs AS (
  SELECT
    ordered.*,
    SUM(
      CASE
        WHEN problem_id = previous_problem
        AND source_file = previous_file
        AND is_correct IS NOT DISTINCT FROM previous_correct
        THEN 0
        ELSE 1
      END
    ) OVER (PARTITION BY student_id ORDER BY row_number) AS run
  FROM ordered
), repeats AS (
  SELECT
    runs.*,
    ROW_NUMBER() OVER (PARTITION BY student_id, run, kc_id ORDER BY row_number) AS times_seen
  FROM runs
), rounds AS (
  SELECT
    repeats.*,
    MAX(times_seen) OVER (
      PARTITION BY student_id, run
      ORDER BY row_number
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS round_number
  FROM repeats
), starts AS (
  SELECT
    rounds.*,
    row_number = MIN(row_number) OVER (PARTITION BY student_id, run, round_number) AS is_first_row
  FROM rounds
)
SELECT
  'assistments' AS source,
  student_id,
  row_number,
  source_file,
  source_row,
  split,
  item_id,
  kc_id,
  is_correct,
  elapsed_seconds,
  SUM(CASE WHEN is_first_row THEN 1 ELSE 0 END) OVER (PARTITION BY student_id ORDER BY row_number) AS interaction_number,
  is_first_row
FROM starts
