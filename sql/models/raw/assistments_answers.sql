MODEL (
  name raw.assistments_answers,
  kind VIEW,
  grain (source_file, student_id, source_row),
  description 'ASSISTments answers as ingested, one row an answer and skill: a view over the Parquet shards that the manifest lists.',
  columns (
    source_file TEXT,
    split TEXT,
    student_id TEXT,
    source_row INT,
    problem_id TEXT,
    kc_id TEXT,
    correct INT,
    is_original BOOLEAN,
    attempt_count INT,
    hint_count INT,
    response_milliseconds BIGINT,
    opportunity INT
  ),
  column_descriptions (
    source_file = 'File the row was read from. Source: ASSISTments answers.',
    split = 'train, valid or test when the file name says so. Source: ASSISTments answers.',
    student_id = 'Published student id; on EdNet from the member name. Source: ASSISTments answers.',
    source_row = 'Data row in its file or member, from 1. Source: ASSISTments answers.',
    problem_id = 'Published problem id; null in layouts without it. Source: ASSISTments answers.',
    kc_id = 'Published skill id. Source: ASSISTments answers.',
    correct = '1 right, 0 wrong. Source: ASSISTments answers.',
    is_original = 'Main problem, not scaffolding. Source: ASSISTments answers.',
    attempt_count = 'Attempts on the problem. Source: ASSISTments answers.',
    hint_count = 'Hints asked for. Source: ASSISTments answers.',
    response_milliseconds = 'Milliseconds to the first response. Source: ASSISTments answers.',
    opportunity = 'Opportunity on the skill, as published. Source: ASSISTments answers.'
  ),
  audits (
    not_null(columns := (source_file, source_row))
  )
);

SELECT
  source_file,
  split,
  student_id,
  source_row,
  problem_id,
  kc_id,
  correct,
  is_original,
  attempt_count,
  hint_count,
  response_milliseconds,
  opportunity
FROM @raw(@assistments_answers)
