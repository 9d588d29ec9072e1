MODEL (
  name raw.clicks_items,
  kind VIEW,
  grain (source_file, source_row),
  description 'Items of logs of what students took up, as ingested: a view over the Parquet shards that the manifest lists.',
  columns (
    source_file TEXT,
    dataset TEXT,
    source_row INT,
    item_id TEXT,
    title TEXT,
    category_ids TEXT[]
  ),
  column_descriptions (
    source_file = 'File the row was read from.',
    dataset = 'Name of the folder or file; stands before every id.',
    source_row = 'Data row in its file, from 1.',
    item_id = 'Data set and published item id.',
    title = 'Published title; null where there is none.',
    category_ids = 'Categories of the item, behind the data set; empty where it has none.'
  ),
  audits (
    not_null(columns := (source_file, source_row, item_id))
  )
);

SELECT
  source_file,
  dataset,
  source_row,
  item_id,
  title,
  category_ids
FROM @raw(@clicks_items)
