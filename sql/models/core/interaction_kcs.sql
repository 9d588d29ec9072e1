MODEL (
  name core.interaction_kcs,
  kind VIEW,
  grain (group_id, kc_key),
  description 'One row an interaction and knowledge component of its item. Rows of one group_id are ONE answer: keep them together in every split and step, or labels leak.',
  columns (
    source TEXT,
    group_id BIGINT,
    student_key INT,
    student_id TEXT,
    interaction_number INT,
    item_key INT,
    item_id TEXT,
    kc_key INT,
    kc_id TEXT,
    num_kcs BIGINT,
    answered_at TIMESTAMPTZ,
    is_correct BOOLEAN
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    group_id = 'The interaction: student_key times 10,000,000 plus interaction_number.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    interaction_number = 'Order of the interactions of the student, from 1.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    item_id = 'Published item id: EdNet question, ASSISTments problem (or `kc:` and the skill where no problem is published), step of a tutor''s problem.',
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    kc_id = 'Published knowledge component: EdNet tag as text, ASSISTments skill, KC of a tutor behind its data set.',
    num_kcs = 'Rows of this group.',
    answered_at = 'When answered, UTC.',
    is_correct = 'Right or wrong; null where unanswered.'
  ),
  audits (
    not_null(columns := (group_id, kc_key))
  )
);

SELECT
  interactions.source,
  CAST(interactions.student_key AS BIGINT) * 10000000 + interactions.interaction_number AS group_id,
  interactions.student_key,
  interactions.student_id,
  interactions.interaction_number,
  interactions.item_key,
  interactions.item_id,
  item_kcs.kc_key,
  item_kcs.kc_id,
  items.num_kcs,
  interactions.answered_at,
  interactions.is_correct
FROM core.interactions AS interactions
INNER JOIN core.item_kcs AS item_kcs ON interactions.item_key = item_kcs.item_key
INNER JOIN core.items AS items ON interactions.item_key = items.item_key
