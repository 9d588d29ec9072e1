MODEL (
  name raw.clicks_behaviors,
  kind VIEW,
  grain (source_file, source_row),
  description 'Logs of what students took up as ingested, one row a behavior: a view over the Parquet shards that the manifest lists.',
  columns (
    source_file TEXT,
    dataset TEXT,
    source_row INT,
    student_id TEXT,
    item_id TEXT,
    category_ids TEXT[],
    outcome TEXT,
    milliseconds BIGINT
  ),
  column_descriptions (
    source_file = 'File the row was read from.',
    dataset = 'Name of the folder or file; stands before every id.',
    source_row = 'Data row in its file, from 1; of sequences the entry, counted through the file.',
    student_id = 'Data set and published student id.',
    item_id = 'Data set and published item id.',
    category_ids = 'Categories of the item as this row names them, behind the data set; null where rows name none.',
    outcome = 'What came of it, as published: a rating, a kind of click; null where none is published.',
    milliseconds = 'When, milliseconds since 1970; null in layouts that give an order only.'
  ),
  audits (
    not_null(columns := (source_file, source_row, student_id, item_id))
  )
);

SELECT
  source_file,
  dataset,
  source_row,
  student_id,
  item_id,
  category_ids,
  outcome,
  milliseconds
FROM @raw(@clicks_behaviors)
