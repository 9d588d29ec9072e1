MODEL (
  name staging.clicks_items,
  kind VIEW,
  grain (item_id),
  description 'Items of logs of what students took up: those of the file of items, and those that somebody took up.',
  columns (
    item_id TEXT,
    title TEXT
  ),
  column_descriptions (
    item_id = 'Data set and published item id.',
    title = 'Published title, the first by name where several are published; null where there is none.'
  ),
  audits (
    unique_values(columns := (item_id)),
    not_null(columns := (item_id))
  )
);

WITH seen AS (
  SELECT item_id, title FROM raw.clicks_items
  UNION ALL
  SELECT DISTINCT item_id, CAST(NULL AS TEXT) AS title FROM raw.clicks_behaviors
)
SELECT
  item_id,
  MIN(title) AS title
FROM seen
GROUP BY item_id
