MODEL (
  name raw.rejects,
  kind VIEW,
  grain (source, relation, file, source_row),
  description 'Source rows that could not be used, of all relations, with the reason.',
  columns (
    source TEXT,
    relation TEXT,
    file TEXT,
    source_row INT,
    reason TEXT,
    raw_text TEXT
  ),
  column_descriptions (
    source = 'Source of the row.',
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
FROM @raw(@raw_rejects)
