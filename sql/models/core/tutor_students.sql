MODEL (
  name core.tutor_students,
  kind FULL,
  grain (source, student_id),
  description 'One row a student of a tutor log that is read. Their keys are the first of core.students.',
  columns (
    student_key INT,
    source TEXT,
    dataset TEXT,
    student_id TEXT
  ),
  column_descriptions (
    student_key = 'Dense number of the student, from 1, unique over sources.',
    source = 'Where the row comes from: kddcup, datashop or mathia.',
    dataset = 'Name of the data set: the file name without train, test, master, transactions.',
    student_id = 'Published student id; of tutors: data set and published id.'
  ),
  audits (
    unique_values(columns := (student_key)),
    unique_combination_of_columns(columns := (source, student_id)),
    not_null(columns := (student_key, source, dataset, student_id))
  )
);

WITH seen AS (
  SELECT DISTINCT source, dataset, student_id FROM staging.tutor_steps
  UNION ALL
  SELECT DISTINCT transactions.source, transactions.dataset, transactions.student_id
  FROM staging.tutor_transactions AS transactions
  INNER JOIN core.tutor_datasets AS datasets
    ON transactions.source = datasets.source AND transactions.dataset = datasets.dataset AND datasets.relation = 'transactions'
)
SELECT
  ROW_NUMBER() OVER (ORDER BY source, student_id) AS student_key,
  source,
  dataset,
  student_id
FROM seen
ORDER BY student_key
