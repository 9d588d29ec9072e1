MODEL (
  name raw.ednet_kt1,
  kind VIEW,
  grain (student_id, source_row),
  description 'EdNet kt1 as ingested, one row an answered question: a view over the Parquet shards that the manifest lists.',
  columns (
    student_id TEXT,
    source_row INT,
    timestamp BIGINT,
    solving_id INT,
    question_id TEXT,
    user_answer TEXT,
    elapsed_time BIGINT
  ),
  column_descriptions (
    student_id = 'Published student id; on EdNet from the member name. Source: EdNet kt1.',
    source_row = 'Data row in its file or member, from 1. Source: EdNet kt1.',
    timestamp = 'Milliseconds since 1970, shifted, as published. Source: EdNet kt1.',
    solving_id = 'Counter of delivered bundles of the student, as published. Source: EdNet kt1.',
    question_id = 'Published question id. Source: EdNet kt1.',
    user_answer = 'Submitted choice a-d; empty means no answer. Source: EdNet kt1.',
    elapsed_time = 'Milliseconds on the bundle divided by its number of questions, as published. Source: EdNet kt1.'
  ),
  audits (
    not_null(columns := (student_id, source_row))
  )
);

SELECT
  student_id,
  source_row,
  timestamp,
  solving_id,
  question_id,
  user_answer,
  elapsed_time
FROM @raw(@ednet_kt1)
