"""The built-in functions of SQL Server: how many arguments each takes, and what functions of other databases are called here."""

from __future__ import annotations

from collections.abc import Iterator

from vgpt2.sql.binding import Binding, Problem
from vgpt2.sql.names import NameIndex
from vgpt2.sql.parser.words import RANKING_FUNCTIONS

# name, or name:arguments, or name:least-most; an open end has no upper bound. DATEADD and its like are counted without the datepart.
_TABLE = """
    ABS:1 ACOS:1 APP_NAME:0 APPLOCK_MODE:3 APPLOCK_TEST:4 APPROX_COUNT_DISTINCT:1 APPROX_PERCENTILE_CONT:1 APPROX_PERCENTILE_DISC:1
    ASCII:1 ASIN:1 ASSEMBLYPROPERTY:2 ASYMKEY_ID:1 ATAN:1 ATN2:2 AVG:1 BASE64_DECODE:1 BASE64_ENCODE:1-2 BINARY_CHECKSUM:1- BIT_COUNT:1
    CEILING:1 CERTENCODED:1 CERT_ID:1 CHAR:1 CHARINDEX:2-3 CHECKSUM:1- CHECKSUM_AGG:1 CHOOSE:2- COALESCE:1- COLLATIONPROPERTY:2
    COLUMNPROPERTY:3 COLUMNS_UPDATED:0 COL_LENGTH:2 COL_NAME:2 COMPRESS:1 CONCAT:2- CONCAT_WS:3- CONNECTIONPROPERTY:1 CONTEXT_INFO:0
    COS:1 COT:1 COUNT:1 COUNT_BIG:1 CUME_DIST:0 CURRENT_REQUEST_ID:0 CURRENT_TIMEZONE:0 CURRENT_TIMEZONE_ID:0 CURRENT_TRANSACTION_ID:0
    CURSOR_STATUS:2 DATABASEPROPERTYEX:2 DATABASE_PRINCIPAL_ID:0-1 DATALENGTH:1 DATEADD:2 DATEDIFF:2 DATEDIFF_BIG:2 DATEFROMPARTS:3
    DATENAME:1 DATEPART:1 DATETIME2FROMPARTS:8 DATETIMEFROMPARTS:7 DATETIMEOFFSETFROMPARTS:10 DATETRUNC:1 DATE_BUCKET:2-3 DAY:1
    DB_ID:0-1 DB_NAME:0-1 DECOMPRESS:1 DECRYPTBYKEY:1-3 DECRYPTBYPASSPHRASE:2-4 DEGREES:1 DENSE_RANK:0 DIFFERENCE:2 EDGE_ID_FROM_PARTS:2
    ENCRYPTBYKEY:2-4 ENCRYPTBYPASSPHRASE:2-4 EOMONTH:1-2 ERROR_LINE:0 ERROR_MESSAGE:0 ERROR_NUMBER:0 ERROR_PROCEDURE:0 ERROR_SEVERITY:0
    ERROR_STATE:0 EVENTDATA:0 EXP:1 FILEGROUPPROPERTY:2 FILEGROUP_ID:1 FILEGROUP_NAME:1 FILEPROPERTY:2 FILE_ID:1 FILE_IDEX:1 FILE_NAME:1
    FIRST_VALUE:1 FLOOR:1 FORMAT:2-3 FORMATMESSAGE:1- FULLTEXTCATALOGPROPERTY:2 FULLTEXTSERVICEPROPERTY:1 GENERATE_SERIES:2-3
    GETANSINULL:0-1 GETDATE:0 GETUTCDATE:0 GET_BIT:2 GREATEST:1- GROUPING:1 GROUPING_ID:1- HAS_DBACCESS:1 HAS_PERMS_BY_NAME:3-5
    HASHBYTES:2 HOST_ID:0 HOST_NAME:0 IDENTITY IDENT_CURRENT:1 IDENT_INCR:1 IDENT_SEED:1 INDEXKEY_PROPERTY:4 INDEXPROPERTY:3
    INDEX_COL:3 ISDATE:1 ISJSON:1-2 ISNULL:2 ISNUMERIC:1 IS_MEMBER:1 IS_ROLEMEMBER:1-2 IS_SRVROLEMEMBER:1-2 JSON_MODIFY:3
    JSON_PATH_EXISTS:2 JSON_QUERY:1-2 JSON_VALUE:2 KEY_GUID:1 KEY_ID:1 LAG:1-3 LAST_VALUE:1 LEAD:1-3 LEAST:1- LEFT:2 LEFT_SHIFT:2 LEN:1
    LOG:1-2 LOG10:1 LOGINPROPERTY:2 LOWER:1 LTRIM:1-2 MAX:1 MIN:1 MIN_ACTIVE_ROWVERSION:0 MONTH:1 NCHAR:1 NEWID:0 NEWSEQUENTIALID:0
    NTILE:1 NULLIF:2 OBJECTPROPERTY:2 OBJECTPROPERTYEX:2 OBJECT_DEFINITION:1 OBJECT_ID:1-2 OBJECT_NAME:1-2 OBJECT_SCHEMA_NAME:1-2
    OPENJSON:1-2 OPENXML:2-3 ORIGINAL_DB_NAME:0 ORIGINAL_LOGIN:0 PARSENAME:2 PATINDEX:2 PERCENTILE_CONT:1 PERCENTILE_DISC:1
    PERCENT_RANK:0 PERMISSIONS:0-2 PI:0 POWER:2 PRODUCT:1 PWDCOMPARE:2-3 PWDENCRYPT:1 QUOTENAME:1-2 RADIANS:1 RAND:0-1 RANK:0
    REGEXP_COUNT:2-4 REGEXP_INSTR:2-7 REGEXP_LIKE:2-3 REGEXP_REPLACE:2-6 REGEXP_SUBSTR:2-6 REPLACE:3 REPLICATE:2 REVERSE:1 RIGHT:2
    RIGHT_SHIFT:2 ROUND:2-3 ROWCOUNT_BIG:0 ROW_NUMBER:0 RTRIM:1-2 SCHEMA_ID:0-1 SCHEMA_NAME:0-1 SCOPE_IDENTITY:0 SERVERPROPERTY:1
    SESSIONPROPERTY:1 SESSION_CONTEXT:1 SET_BIT:2-3 SIGN:1 SIN:1 SMALLDATETIMEFROMPARTS:5 SOUNDEX:1 SPACE:1 SQL_VARIANT_PROPERTY:2
    SQRT:1 SQUARE:1 STATS_DATE:2 STDEV:1 STDEVP:1 STR:1-3 STRING_AGG:2 STRING_ESCAPE:2 STRING_SPLIT:2-3 STUFF:4 SUBSTRING:3 SUM:1
    SUSER_ID:0-1 SUSER_NAME:0-1 SUSER_SID:0-2 SUSER_SNAME:0-1 SWITCHOFFSET:2 SYMKEYPROPERTY:3 SYSDATETIME:0 SYSDATETIMEOFFSET:0
    SYSUTCDATETIME:0 TAN:1 TERTIARY_WEIGHTS:1 TEXTPTR:1 TEXTVALID:2 TIMEFROMPARTS:5 TODATETIMEOFFSET:2 TRANSLATE:3 TRIGGER_NESTLEVEL:0-3
    TYPEPROPERTY:2 TYPE_ID:1 TYPE_NAME:1 UNICODE:1 UNISTR:1-2 UPPER:1 USER_ID:0-1 USER_NAME:0-1 VAR:1 VARP:1 VERSION:0 XACT_STATE:0
    YEAR:1 CAST CONVERT TRY_CAST TRY_CONVERT PARSE TRY_PARSE IIF TRIM JSON_OBJECT JSON_ARRAY JSON_OBJECTAGG JSON_ARRAYAGG NEXT
    OPENROWSET OPENQUERY OPENDATASOURCE CONTAINSTABLE FREETEXTTABLE CHANGETABLE PREDICT VECTOR_DISTANCE CHANGE_TRACKING_CURRENT_VERSION
"""


def _arities(table: str) -> dict[str, tuple[int, int | None] | None]:
    """Name -> (fewest, most) arguments; most is None without a bound, and the pair is None where the grammar checks the arguments."""
    arities: dict[str, tuple[int, int | None] | None] = {}
    for entry in table.split():
        name, _, counts = entry.partition(":")
        least, dash, most = counts.partition("-")
        arities[name] = (int(least), int(most) if most else None if dash else int(least)) if counts else None
    return arities


ARITIES = _arities(_TABLE)
_NEEDS_OVER = RANKING_FUNCTIONS
_FOREIGN = {
    "CEIL": "CEILING",
    "CHAR_LENGTH": "LEN",
    "CHARACTER_LENGTH": "LEN",
    "CURDATE": "CAST(GETDATE() AS date)",
    "DATE_ADD": "DATEADD",
    "DATE_FORMAT": "FORMAT",
    "DATE_PART": "DATEPART",
    "DATE_SUB": "DATEADD",
    "DATE_TRUNC": "DATEADD(month, DATEDIFF(month, 0, x), 0)",
    "GROUP_CONCAT": "STRING_AGG",
    "IFNULL": "ISNULL",
    "INSTR": "CHARINDEX",
    "LAST_DAY": "EOMONTH",
    "LENGTH": "LEN",
    "LISTAGG": "STRING_AGG",
    "LOCATE": "CHARINDEX",
    "LPAD": "RIGHT(REPLICATE('0', n) + x, n)",
    "MOD": "%",
    "NOW": "GETDATE",
    "NVL": "ISNULL",
    "POSITION": "CHARINDEX",
    "POW": "POWER",
    "RANDOM": "RAND",
    "REPEAT": "REPLICATE",
    "STRPOS": "CHARINDEX",
    "SUBSTR": "SUBSTRING",
    "SYSDATE": "GETDATE",
    "TO_CHAR": "CONVERT",
    "TO_DATE": "CONVERT",
    "TO_NUMBER": "CONVERT",
    "TRUNC": "ROUND(x, 0, 1)",
}
_NAMES = NameIndex(ARITIES)


def function_problems(b: Binding) -> Iterator[Problem]:
    """Calls of functions that SQL Server does not have, with the wrong number of arguments, or without the OVER they need."""
    for call in b.calls:
        key = call.key
        if not key or call.name.quoted:
            continue
        written = call.name.last
        if key not in ARITIES:
            hint = _FOREIGN.get(key) or next(iter(_NAMES.nearest(key, 1)), None)
            yield Problem("unknown_function", call.pos, written, f"SQL Server has no function '{written}'", hint)
            continue
        arity = ARITIES[key]
        if arity is not None and not _fits(len(call.args), arity):
            yield Problem("syntax", call.pos, written, f"{key} takes {_counted(arity)}, not {len(call.args)}")
        if key in _NEEDS_OVER and call.over is None:
            yield Problem("syntax", call.pos, written, f"{key} needs OVER (...)")


def _fits(count: int, arity: tuple[int, int | None]) -> bool:
    least, most = arity
    return least <= count and (most is None or count <= most)


def _counted(arity: tuple[int, int | None]) -> str:
    least, most = arity
    if most is None:
        return f"at least {least} arguments"
    counts = str(least) if least == most else f"{least} to {most}"
    return f"{counts} argument{'' if most == 1 else 's'}"
