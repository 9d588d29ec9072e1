MODEL (
  name core.catalog,
  kind FULL,
  grain (source, log_name, item_id),
  description 'One row a thing that a student can take up, of every source: what behaviors and recommendations are about. A bundle or a problem of several items counts as one thing.',
  columns (
    catalog_key INT,
    source TEXT,
    log_name TEXT,
    item_id TEXT,
    item_type TEXT,
    title TEXT,
    part INT,
    category_ids TEXT[],
    num_categories BIGINT
  ),
  column_descriptions (
    catalog_key = 'Dense number of the thing, from 1, unique over sources.',
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop, mathia or clicks.',
    log_name = 'What the behaviors are: answers (EdNet KT1, ASSISTments), visits (EdNet KT2 to KT4), problems (tutors), clicks. Logs of one source repeat each other and are never put together.',
    item_id = 'Published id: question, bundle, explanation or lecture, problem of a tutor, item of a log of clicks.',
    item_type = 'question, bundle, explanation, lecture, problem, item, or unknown.',
    title = 'Published title; null where none is published.',
    part = 'TOEIC part, 0 for lectures about the whole test; null where unknown.',
    category_ids = 'Knowledge components, or published categories, in order of their ids; of a bundle those of its items.',
    num_categories = 'Their number; 0 where none is known.'
  ),
  audits (
    unique_values(columns := (catalog_key)),
    unique_combination_of_columns(columns := (source, log_name, item_id)),
    not_null(columns := (catalog_key, source, log_name, item_id, item_type, category_ids, num_categories)),
    accepted_values(column := log_name, is_in := ('answers', 'visits', 'problems', 'clicks')),
    accepted_values(column := item_type, is_in := ('question', 'bundle', 'explanation', 'lecture', 'problem', 'item', 'unknown'))
  )
);

WITH things AS (
  SELECT source, 'answers' AS log_name, item_id, 'question' AS item_type, CAST(NULL AS TEXT) AS title, part
  FROM core.items
  WHERE source IN ('ednet', 'assistments')
  UNION ALL
  SELECT source, 'visits' AS log_name, bundle_id AS item_id, 'bundle' AS item_type, CAST(NULL AS TEXT) AS title, part
  FROM core.bundles
  WHERE source = 'ednet'
  UNION ALL
  SELECT source, 'visits' AS log_name, explanation_id AS item_id, 'explanation' AS item_type, CAST(NULL AS TEXT) AS title, part
  FROM core.bundles
  WHERE source = 'ednet' AND explanation_id IS NOT NULL
  UNION ALL
  SELECT source, 'visits' AS log_name, lecture_id AS item_id, 'lecture' AS item_type, CAST(NULL AS TEXT) AS title, part
  FROM core.lectures
  UNION ALL
  SELECT DISTINCT source, 'visits' AS log_name, item_id, context_type AS item_type, CAST(NULL AS TEXT) AS title, CAST(NULL AS INT) AS part
  FROM core.contexts
  UNION ALL
  SELECT DISTINCT source, 'problems' AS log_name, problem_id AS item_id, 'problem' AS item_type, CAST(NULL AS TEXT) AS title, CAST(NULL AS INT) AS part
  FROM core.problem_steps
  UNION ALL
  SELECT 'clicks' AS source, 'clicks' AS log_name, item_id, 'item' AS item_type, title, CAST(NULL AS INT) AS part
  FROM staging.clicks_items
), known AS (
  SELECT source, log_name, item_id, MIN(item_type) AS item_type, MIN(title) AS title, MIN(part) AS part
  FROM things
  GROUP BY source, log_name, item_id
), pairs AS (
  SELECT source, 'answers' AS log_name, item_id, kc_id AS category_id
  FROM core.item_kcs
  WHERE source IN ('ednet', 'assistments')
  UNION
  SELECT items.source, 'visits' AS log_name, items.bundle_id AS item_id, item_kcs.kc_id AS category_id
  FROM core.items AS items
  INNER JOIN core.item_kcs AS item_kcs ON items.item_key = item_kcs.item_key
  WHERE items.source = 'ednet' AND items.bundle_id IS NOT NULL
  UNION
  SELECT items.source, 'visits' AS log_name, items.explanation_id AS item_id, item_kcs.kc_id AS category_id
  FROM core.items AS items
  INNER JOIN core.item_kcs AS item_kcs ON items.item_key = item_kcs.item_key
  WHERE items.source = 'ednet' AND items.explanation_id IS NOT NULL
  UNION
  SELECT source, 'visits' AS log_name, lecture_id AS item_id, kc_id AS category_id
  FROM core.lectures
  WHERE kc_id IS NOT NULL
  UNION
  SELECT steps.source, 'problems' AS log_name, steps.problem_id AS item_id, item_kcs.kc_id AS category_id
  FROM core.problem_steps AS steps
  INNER JOIN core.item_kcs AS item_kcs ON steps.item_key = item_kcs.item_key
  UNION
  SELECT 'clicks' AS source, 'clicks' AS log_name, item_id, category_id
  FROM staging.clicks_categories
), listed AS (
  SELECT source, log_name, item_id, @sorted_list(category_id) AS category_ids, COUNT(*) AS num_categories
  FROM pairs
  GROUP BY source, log_name, item_id
)
SELECT
  ROW_NUMBER() OVER (ORDER BY known.source, known.log_name, LENGTH(known.item_id), known.item_id) AS catalog_key,
  known.source,
  known.log_name,
  known.item_id,
  known.item_type,
  known.title,
  known.part,
  COALESCE(listed.category_ids, @empty_list(TEXT)) AS category_ids,
  COALESCE(listed.num_categories, 0) AS num_categories
FROM known
LEFT JOIN listed
  ON known.source = listed.source
  AND known.log_name = listed.log_name
  AND known.item_id = listed.item_id
ORDER BY catalog_key
