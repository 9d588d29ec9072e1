MODEL (
  name staging.clicks_behaviors,
  kind VIEW,
  grain (source_file, source_row),
  description 'What students took up, one row a behavior, with names and units of this warehouse.',
  columns (
    source_file TEXT,
    source_row INT,
    student_id TEXT,
    item_id TEXT,
    outcome TEXT,
    acted_milliseconds BIGINT
  ),
  column_descriptions (
    source_file = 'File the row was read from.',
    source_row = 'Data row in its file, from 1.',
    student_id = 'Data set and published student id.',
    item_id = 'Data set and published item id.',
    outcome = 'What came of it, as published; null where none is published. Source: outcome.',
    acted_milliseconds = 'When, milliseconds since 1970; null where the log has an order only. Source: milliseconds.'
  ),
  audits (
    not_null(columns := (source_file, source_row, student_id, item_id)),
    accepted_range(column := acted_milliseconds, min_v := 0)
  )
);

SELECT
  source_file,
  source_row,
  student_id,
  item_id,
  NULLIF(TRIM(outcome), '') AS outcome,
  milliseconds AS acted_milliseconds
FROM raw.clicks_behaviors
