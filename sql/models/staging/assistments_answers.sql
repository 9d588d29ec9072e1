MODEL (
  name staging.assistments_answers,
  kind VIEW,
  grain (source_file, student_id, source_row),
  description 'ASSISTments, one row a source row: an answer on a problem and one of its skills.',
  columns (
    source_file TEXT,
    split TEXT,
    student_id TEXT,
    source_row INT,
    problem_id TEXT,
    kc_id TEXT,
    item_id TEXT,
    is_correct BOOLEAN,
    elapsed_seconds DOUBLE
  ),
  column_descriptions (
    source_file = 'File the row was read from.',
    split = 'train, valid or test when the file name says so.',
    student_id = 'Published student id.',
    source_row = 'Order within the student, from 1.',
    problem_id = 'Published problem id; null in layouts without it.',
    kc_id = 'Published skill id.',
    item_id = 'Problem id, or `kc:` and the skill id in layouts without problems.',
    is_correct = 'Right or wrong. Source: correct.',
    elapsed_seconds = 'Seconds to the first response. Source: response_milliseconds.'
  ),
  audits (
    not_null(columns := (source_file, student_id, source_row, item_id)),
    accepted_values(column := split, is_in := ('train', 'valid', 'test'))
  )
);

SELECT
  source_file,
  split,
  student_id,
  source_row,
  problem_id,
  kc_id,
  COALESCE(problem_id, 'kc:' || kc_id) AS item_id,
  CASE correct WHEN 1 THEN TRUE WHEN 0 THEN FALSE END AS is_correct,
  response_milliseconds / 1000.0 AS elapsed_seconds
FROM raw.assistments_answers
