MODEL (
  name staging.tutor_kc_cells,
  kind FULL,
  grain (source, relation, dataset, kc_model, cell),
  description 'The different KC cells of tutor logs: one row a data set, KC model and text of a cell.',
  columns (
    source TEXT,
    relation TEXT,
    dataset TEXT,
    model_number INT,
    kc_model TEXT,
    cell TEXT,
    num_rows BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    relation = 'steps where the step stands in a student-step roll-up, transactions where it was rolled up here.',
    dataset = 'Name of the data set: the file name without train, test, master, transactions.',
    model_number = 'Place of the KC model in the header, from 1; the lowest over the files of the data set.',
    kc_model = 'KC model as the header names it.',
    cell = 'Text of the cell, several KCs joined by ~~.',
    num_rows = 'Rows of the source with this cell.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, relation, dataset, kc_model, cell)),
    not_null(columns := (source, relation, dataset, kc_model, cell))
  )
);

SELECT
  source,
  relation,
  dataset,
  MIN(model_number) AS model_number,
  kc_model,
  cell,
  COUNT(*) AS num_rows
FROM (
  SELECT
    source,
    relation,
    dataset,
    model_number,
    @entry_at(kc_models, model_number) AS kc_model,
    @entry_at(kc_cells, model_number) AS cell
  FROM (
    SELECT source, 'steps' AS relation, dataset, kc_models, kc_cells, @each_position(kc_models) AS model_number
    FROM staging.tutor_steps
    UNION ALL
    SELECT source, 'transactions' AS relation, dataset, kc_models, kc_cells, @each_position(kc_models) AS model_number
    FROM staging.tutor_transactions
  ) AS numbered
) AS cells
WHERE cell IS NOT NULL
GROUP BY source, relation, dataset, kc_model, cell
