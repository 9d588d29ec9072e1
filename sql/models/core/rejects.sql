MODEL (
  name core.rejects,
  kind FULL,
  grain (source, relation, file, source_row),
  description 'Source rows that could not be used, with the reason and the raw text.',
  columns (
    source TEXT,
    relation TEXT,
    file TEXT,
    source_row INT,
    reason TEXT,
    raw_text TEXT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    relation = 'Raw relation the row was meant for.',
    file = 'File or archive member.',
    source_row = 'Data row in the file, from 1.',
    reason = 'Why the row could not be used.',
    raw_text = 'The row as it stands in the file.'
  ),
  audits (
    not_null(columns := (source, relation, reason))
  )
);

SELECT
  source,
  relation,
  file,
  source_row,
  reason,
  raw_text
FROM raw.rejects
