MODEL (
  name core.problem_steps,
  kind FULL,
  grain (source, item_id),
  description 'One row a step of a problem of a tutor, with the problem and the section it belongs to. The keys are the first of core.items.',
  columns (
    item_key INT,
    source TEXT,
    item_id TEXT,
    problem_key INT,
    problem_id TEXT,
    section_key INT,
    section_id TEXT,
    is_ambiguous BOOLEAN
  ),
  column_descriptions (
    item_key = 'Dense number of the item, from 1, unique over sources.',
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    item_id = 'Step of a problem: problem and published step name.',
    problem_key = 'Dense number of the problem, from 1.',
    problem_id = 'Problem: section and published name.',
    section_key = 'Dense number of the section, from 1.',
    section_id = 'Section of the curriculum: data set and published hierarchy.',
    is_ambiguous = 'True where names with a slash give two problems or sections one id.'
  ),
  audits (
    unique_values(columns := (item_key)),
    unique_combination_of_columns(columns := (source, item_id)),
    not_null(columns := (item_key, source, item_id, problem_key, problem_id, section_key, section_id))
  )
);

WITH seen AS (
  SELECT source, section_id, problem_id, item_id FROM staging.tutor_steps
  WHERE item_id IS NOT NULL
  UNION ALL
  SELECT transactions.source, transactions.section_id, transactions.problem_id, transactions.item_id
  FROM staging.tutor_transactions AS transactions
  INNER JOIN core.tutor_datasets AS datasets
    ON transactions.source = datasets.source AND transactions.dataset = datasets.dataset AND datasets.relation = 'transactions'
  WHERE transactions.untutored_rule IS NULL
), steps AS (
  SELECT
    source,
    item_id,
    MIN(problem_id) AS problem_id,
    MIN(section_id) AS section_id,
    MIN(problem_id) <> MAX(problem_id) OR MIN(section_id) <> MAX(section_id) AS is_ambiguous
  FROM seen
  GROUP BY source, item_id
)
SELECT
  ROW_NUMBER() OVER (ORDER BY source, item_id) AS item_key,
  source,
  item_id,
  DENSE_RANK() OVER (ORDER BY source, problem_id) AS problem_key,
  problem_id,
  DENSE_RANK() OVER (ORDER BY source, section_id) AS section_key,
  section_id,
  is_ambiguous
FROM steps
ORDER BY item_key
