"""Everything that is ever asked of a live SQL Server: reads of its catalogue views, as constants. Nothing else is sent.

The rows have the field names of INFORMATION_SCHEMA, so that an export of the same shape reads alike. Objects that SQL Server ships
itself are left out.
"""

COLUMNS = """
SELECT s.name AS TABLE_SCHEMA, o.name AS TABLE_NAME, CASE o.type WHEN 'V' THEN 'VIEW' ELSE 'BASE TABLE' END AS TABLE_TYPE,
       c.name AS COLUMN_NAME, c.column_id AS ORDINAL_POSITION, COALESCE(base.name, own.name) AS DATA_TYPE,
       CASE WHEN own.is_user_defined = 1 THEN own.name END AS DOMAIN_NAME,
       i.CHARACTER_MAXIMUM_LENGTH, i.NUMERIC_PRECISION, i.NUMERIC_SCALE,
       CASE c.is_nullable WHEN 1 THEN 'YES' ELSE 'NO' END AS IS_NULLABLE, i.COLUMN_DEFAULT,
       CASE c.is_identity WHEN 1 THEN 'YES' ELSE 'NO' END AS IS_IDENTITY,
       CAST(about.value AS nvarchar(4000)) AS DESCRIPTION, CAST(whole.value AS nvarchar(4000)) AS TABLE_DESCRIPTION
FROM sys.objects AS o
JOIN sys.schemas AS s ON s.schema_id = o.schema_id
JOIN sys.columns AS c ON c.object_id = o.object_id
JOIN sys.types AS own ON own.user_type_id = c.user_type_id
LEFT JOIN sys.types AS base ON base.user_type_id = c.system_type_id
LEFT JOIN INFORMATION_SCHEMA.COLUMNS AS i ON i.TABLE_SCHEMA = s.name AND i.TABLE_NAME = o.name AND i.COLUMN_NAME = c.name
LEFT JOIN sys.extended_properties AS about
       ON about.class = 1 AND about.major_id = o.object_id AND about.minor_id = c.column_id AND about.name = 'MS_Description'
LEFT JOIN sys.extended_properties AS whole
       ON whole.class = 1 AND whole.major_id = o.object_id AND whole.minor_id = 0 AND whole.name = 'MS_Description'
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0
ORDER BY s.name, o.name, c.column_id
"""

KEYS = """
SELECT o.name AS TABLE_NAME, i.name AS CONSTRAINT_NAME, c.name AS COLUMN_NAME, k.key_ordinal AS ORDINAL_POSITION,
       CASE i.is_primary_key WHEN 1 THEN 'PRIMARY KEY' ELSE 'UNIQUE' END AS CONSTRAINT_TYPE,
       CASE i.type WHEN 1 THEN 'YES' ELSE 'NO' END AS IS_CLUSTERED
FROM sys.indexes AS i
JOIN sys.objects AS o ON o.object_id = i.object_id AND o.type = 'U' AND o.is_ms_shipped = 0
JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id AND k.is_included_column = 0
JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.is_unique = 1 AND i.has_filter = 0 AND i.is_hypothetical = 0
ORDER BY o.name, i.is_primary_key DESC, i.index_id, k.key_ordinal
"""

FOREIGN_KEYS = """
SELECT f.name AS CONSTRAINT_NAME, child.name AS TABLE_NAME, cc.name AS COLUMN_NAME, k.constraint_column_id AS ORDINAL_POSITION,
       parent.name AS REFERENCED_TABLE_NAME, pc.name AS REFERENCED_COLUMN_NAME
FROM sys.foreign_keys AS f
JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id
JOIN sys.objects AS child ON child.object_id = k.parent_object_id
JOIN sys.columns AS cc ON cc.object_id = k.parent_object_id AND cc.column_id = k.parent_column_id
JOIN sys.objects AS parent ON parent.object_id = k.referenced_object_id
JOIN sys.columns AS pc ON pc.object_id = k.referenced_object_id AND pc.column_id = k.referenced_column_id
ORDER BY child.name, f.name, k.constraint_column_id
"""

VIEWS = """
SELECT o.name AS TABLE_NAME, m.definition AS VIEW_DEFINITION
FROM sys.sql_modules AS m
JOIN sys.objects AS o ON o.object_id = m.object_id AND o.type = 'V' AND o.is_ms_shipped = 0
ORDER BY o.name
"""

ALL = (COLUMNS, KEYS, FOREIGN_KEYS, VIEWS)
