MODEL (
  name training.tracing_rows,
  kind FULL,
  grain (student_key, row_number),
  description 'One step a source row, a problem repeated once a skill, as in published ASSISTments protocols. Repeated rows leak their label: report the score on first rows beside it.',
  columns (
    source TEXT,
    student_key INT,
    student_id TEXT,
    split TEXT,
    row_number INT,
    interaction_number INT,
    item_key INT,
    kc_key INT,
    is_correct BOOLEAN,
    is_first_row BOOLEAN
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    split = 'train, valid or test: the part of the split the student is wholly in.',
    row_number = 'Position of the row within the student, from 1.',
    interaction_number = 'Order of the interactions of the student, from 1.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    is_correct = 'Right or wrong: the label.',
    is_first_row = 'True on the first row of each interaction.'
  ),
  audits (
    unique_combination_of_columns(columns := (student_key, row_number)),
    not_null(columns := (student_key, split, row_number, item_key, is_correct, is_first_row))
  )
);

SELECT
  answers.source,
  students.student_key,
  answers.student_id,
  students.split,
  answers.row_number,
  answers.interaction_number,
  items.item_key,
  kcs.kc_key,
  answers.is_correct,
  answers.is_first_row
FROM core.answer_rows AS answers
INNER JOIN core.students AS students ON answers.source = students.source AND answers.student_id = students.student_id
INNER JOIN core.items AS items ON answers.source = items.source AND answers.item_id = items.item_id
LEFT JOIN core.kcs AS kcs ON answers.source = kcs.source AND answers.kc_id = kcs.kc_id
WHERE answers.is_correct IS NOT NULL
ORDER BY students.student_key, answers.row_number
