MODEL (
  name staging.clicks_categories,
  kind VIEW,
  grain (item_id, category_id),
  description 'Categories of items as rows of their own: what the file of items says, and what any behavior says.',
  columns (
    item_id TEXT,
    category_id TEXT
  ),
  column_descriptions (
    item_id = 'Data set and published item id.',
    category_id = 'Data set and published category.'
  ),
  audits (
    not_null(columns := (item_id, category_id))
  )
);

WITH listed AS (
  SELECT DISTINCT item_id, category_ids FROM raw.clicks_items
  UNION ALL
  SELECT DISTINCT item_id, category_ids FROM raw.clicks_behaviors WHERE category_ids IS NOT NULL
), named AS (
  SELECT item_id, @each_of(category_ids) AS category_id FROM listed
)
SELECT DISTINCT
  item_id,
  category_id
FROM named
