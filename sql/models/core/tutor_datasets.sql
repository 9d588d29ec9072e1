MODEL (
  name core.tutor_datasets,
  kind FULL,
  grain (source, dataset),
  description 'One row a data set of tutor logs: which of its relations is read and which KC model is chosen, the first by the setting warehouse.kc_models that has any value, else the first of the header that has.',
  columns (
    source TEXT,
    dataset TEXT,
    relation TEXT,
    kc_model TEXT,
    num_rows BIGINT,
    num_excluded_rows BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    dataset = 'Name of the data set: the file name without train, test, master, transactions.',
    relation = 'steps where the data set has step rows: its transactions, if any, are then left out; else transactions.',
    kc_model = 'Chosen KC model; null where no cell is filled.',
    num_rows = 'Rows of that relation.',
    num_excluded_rows = 'Transactions left out because the data set has step rows.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, dataset)),
    not_null(columns := (source, dataset, relation, num_rows, num_excluded_rows)),
    accepted_values(column := relation, is_in := ('steps', 'transactions'))
  )
);

WITH counted AS (
  SELECT source, dataset, 'steps' AS relation, COUNT(*) AS num_rows FROM staging.tutor_steps GROUP BY source, dataset
  UNION ALL
  SELECT source, dataset, 'transactions' AS relation, COUNT(*) AS num_rows FROM staging.tutor_transactions GROUP BY source, dataset
), datasets AS (
  SELECT source, dataset, MIN(relation) AS relation, SUM(num_rows) AS num_all_rows FROM counted GROUP BY source, dataset
), models AS (
  SELECT
    source,
    relation,
    dataset,
    kc_model,
    ROW_NUMBER() OVER (
      PARTITION BY source, relation, dataset
      ORDER BY @kc_model_rank(kc_model, @kc_models), MIN(model_number), kc_model
    ) AS place
  FROM staging.tutor_kc_cells
  GROUP BY source, relation, dataset, kc_model
)
SELECT
  datasets.source,
  datasets.dataset,
  datasets.relation,
  models.kc_model,
  counted.num_rows,
  datasets.num_all_rows - counted.num_rows AS num_excluded_rows
FROM datasets
INNER JOIN counted ON datasets.source = counted.source AND datasets.dataset = counted.dataset AND datasets.relation = counted.relation
LEFT JOIN models
  ON datasets.source = models.source AND datasets.dataset = models.dataset AND datasets.relation = models.relation AND models.place = 1
