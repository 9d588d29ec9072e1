MODEL (
  name core.opportunities,
  kind FULL,
  grain (student_key, kc_key, opportunity),
  description 'One row an answer of known correctness and knowledge component: the n-th time the student meets the component.',
  columns (
    source TEXT,
    student_key INT,
    kc_key INT,
    item_key INT,
    interaction_number INT,
    opportunity INT,
    opportunities_after INT,
    is_correct BOOLEAN,
    answered_at TIMESTAMPTZ
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    interaction_number = 'Order of the interactions of the student, from 1.',
    opportunity = 'Time the student meets this component, from 1.',
    opportunities_after = 'Opportunities of the student on this component that follow; 0 on the latest.',
    is_correct = 'Right or wrong.',
    answered_at = 'When answered, UTC; null where the source has no times.'
  ),
  audits (
    not_null(columns := (student_key, kc_key, interaction_number, opportunity, is_correct)),
    accepted_range(column := opportunities_after, min_v := 0)
  )
);

SELECT
  interactions.source,
  interactions.student_key,
  item_kcs.kc_key,
  interactions.item_key,
  interactions.interaction_number,
  ROW_NUMBER() OVER (PARTITION BY interactions.student_key, item_kcs.kc_key ORDER BY interactions.interaction_number) AS opportunity,
  COUNT(*) OVER (
    PARTITION BY interactions.student_key, item_kcs.kc_key
    ORDER BY interactions.interaction_number
    ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
  ) AS opportunities_after,
  interactions.is_correct,
  interactions.answered_at
FROM core.interactions AS interactions
INNER JOIN core.item_kcs AS item_kcs ON interactions.item_key = item_kcs.item_key
WHERE interactions.is_correct IS NOT NULL
