MODEL (
  name core.clicks,
  kind FULL,
  grain (student_key, behavior_number),
  description 'One row a behavior of a log of clicks, in the order of the student: by time, then file and source row; by file and source row alone where the log has no times.',
  columns (
    source TEXT,
    student_key INT,
    behavior_number INT,
    catalog_key INT,
    item_id TEXT,
    acted_at TIMESTAMPTZ,
    outcome TEXT,
    meeting_number INT,
    source_file TEXT,
    source_row INT
  ),
  column_descriptions (
    source = 'Where the row comes from: clicks.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    behavior_number = 'Order of the behaviors of the student, from 1.',
    catalog_key = 'Dense number of the thing, from 1, unique over sources: core.catalog.',
    item_id = 'Data set and published item id.',
    acted_at = 'When, UTC; null where the log has an order only.',
    outcome = 'What came of it, as published; null where none is published.',
    meeting_number = 'Time the student meets the item, from 1.',
    source_file = 'File the row was read from.',
    source_row = 'Data row in its file, from 1.'
  ),
  audits (
    unique_combination_of_columns(columns := (student_key, behavior_number)),
    not_null(columns := (source, student_key, behavior_number, catalog_key, item_id, meeting_number)),
    same_total(here := COUNT(*), relation := staging.clicks_behaviors, there := COUNT(*))
  )
);

WITH linked AS (
  SELECT
    students.student_key,
    catalog.catalog_key,
    clicks.item_id,
    clicks.acted_milliseconds,
    clicks.outcome,
    clicks.source_file,
    clicks.source_row
  FROM staging.clicks_behaviors AS clicks
  INNER JOIN core.students AS students ON students.source = 'clicks' AND clicks.student_id = students.student_id
  INNER JOIN core.catalog AS catalog ON catalog.source = 'clicks' AND clicks.item_id = catalog.item_id
)
SELECT
  'clicks' AS source,
  student_key,
  ROW_NUMBER() OVER (PARTITION BY student_key ORDER BY acted_milliseconds NULLS LAST, source_file, source_row) AS behavior_number,
  catalog_key,
  item_id,
  @from_milliseconds(acted_milliseconds) AS acted_at,
  outcome,
  ROW_NUMBER() OVER (PARTITION BY student_key, catalog_key ORDER BY acted_milliseconds NULLS LAST, source_file, source_row) AS meeting_number,
  source_file,
  source_row
FROM linked
