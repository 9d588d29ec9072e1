MODEL (
  name core.kc_sets,
  kind FULL,
  grain (kc_set_key, kc_key),
  description 'One row a cell of the chosen KC model and one of its KCs, each once: what stands between ~~, in rising order of the keys.',
  columns (
    kc_set_key INT,
    source TEXT,
    dataset TEXT,
    cell TEXT,
    kc_key INT,
    kc_id TEXT,
    is_ignored BOOLEAN
  ),
  column_descriptions (
    kc_set_key = 'Dense number of the set of KCs, from 1; null where the row has none.',
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    dataset = 'Name of the data set: the file name without train, test, master, transactions.',
    cell = 'Text of the cell, as published.',
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    kc_id = 'Knowledge component: data set and published name.',
    is_ignored = 'True for bookkeeping: the name has a word of the setting warehouse.ignored_kcs. Left out of strategies.'
  ),
  audits (
    unique_combination_of_columns(columns := (kc_set_key, kc_key)),
    not_null(columns := (kc_set_key, source, dataset, cell, kc_key, kc_id, is_ignored))
  )
);

WITH chosen AS (
  SELECT
    ROW_NUMBER() OVER (ORDER BY cells.source, cells.dataset, cells.cell) AS kc_set_key,
    cells.source,
    cells.dataset,
    cells.cell
  FROM staging.tutor_kc_cells AS cells
  INNER JOIN core.tutor_datasets AS datasets
    ON cells.source = datasets.source
    AND cells.dataset = datasets.dataset
    AND cells.relation = datasets.relation
    AND cells.kc_model = datasets.kc_model
), parts AS (
  SELECT kc_set_key, source, dataset, cell, @split_cell(cell) AS part FROM chosen
), named AS (
  SELECT DISTINCT kc_set_key, source, dataset, cell, TRIM(part) AS kc_name, dataset || '/' || TRIM(part) AS kc_id
  FROM parts
  WHERE TRIM(part) <> ''
)
SELECT
  kc_set_key,
  source,
  dataset,
  cell,
  DENSE_RANK() OVER (ORDER BY source, kc_id) AS kc_key,
  kc_id,
  @has_word(kc_name, @ignored_kcs) AS is_ignored
FROM named
ORDER BY kc_set_key, kc_key
