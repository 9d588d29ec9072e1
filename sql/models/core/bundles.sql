MODEL (
  name core.bundles,
  kind FULL,
  grain (source, bundle_id),
  description 'One row a bundle: items that share one passage and are delivered together.',
  columns (
    source TEXT,
    bundle_id TEXT,
    explanation_id TEXT,
    part INT,
    num_items BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    bundle_id = 'Published bundle of the item, or the problem of a tutor''s step; null where the source has none.',
    explanation_id = 'Published explanation of the bundle.',
    part = 'TOEIC part 1-7; null where unknown.',
    num_items = 'Items of the bundle in the contents tables.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, bundle_id)),
    not_null(columns := (source, bundle_id)),
    accepted_range(column := num_items, min_v := 1)
  )
);

SELECT
  source,
  bundle_id,
  MIN(explanation_id) AS explanation_id,
  MIN(part) AS part,
  COUNT(*) AS num_items
FROM core.items
WHERE bundle_id IS NOT NULL
GROUP BY source, bundle_id
