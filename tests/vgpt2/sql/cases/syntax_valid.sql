-- Valid T-SQL of every clause in use.
--! catalogue: open
--! rules: names

SELECT 1
--> clean

select a, b as c, d e, f 'x', g as 'y', h as "z", i [w x], j as [v] from T
--> clean

SELECT Total = SUM(t.Amt), 'Label' = t.Name, [A B] = 1, "Q" = 2 FROM T t
--> clean

SELECT TOP 10 * FROM T ORDER BY 1 DESC, a ASC
--> clean

SELECT TOP (10) PERCENT WITH TIES a.*, dbo.U.*, c..V.x FROM T a, dbo.U, c..V ORDER BY a.x COLLATE Latin1_General_BIN DESC
--> clean

SELECT DISTINCT TOP (@n) a FROM T
--> clean

SELECT ALL a FROM T
--> clean

SELECT a + -b * (c - d) / +e % 2 & 3 | 4 ^ 5, ~f, - - 1, -(-1) FROM T
--> clean

SELECT CASE WHEN a = 1 AND (b > 2 OR NOT c < 3) THEN 'x' WHEN d IS NOT NULL THEN 'y' ELSE 'z' END FROM T
--> clean

SELECT CASE a WHEN 1 THEN 'x' WHEN b + 1 THEN NULL END x FROM T
--> clean

SELECT COUNT(*), COUNT(DISTINCT a), SUM(ALL b), COUNT_BIG(*), MIN(a) FROM T
--> clean

SELECT ROW_NUMBER() OVER (PARTITION BY a, b ORDER BY c DESC, d) rn, SUM(x) OVER (ORDER BY y ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), SUM(x) OVER (), AVG(x) OVER (PARTITION BY y ORDER BY z ROWS 3 PRECEDING), LAG(a, 1, 0) OVER (ORDER BY b) FROM T
--> clean

SELECT STRING_AGG(a, ',') WITHIN GROUP (ORDER BY b DESC) FROM T
--> clean

SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY a) OVER (PARTITION BY b) FROM T
--> clean

SELECT CAST(a AS varchar(30)), CAST(b AS decimal(12, 2)), CONVERT(varchar(max), c), CONVERT(datetime, d, 101), TRY_CAST(e AS int), CAST(x AS bCompany), CAST(x AS dbo.bCompany), CAST(x AS [varchar](10)), CAST(y AS double precision), CAST(z AS national character varying(10)), CAST(q AS sysname), CAST(q as xml) FROM T
--> clean

SELECT LEFT(a, 3), RIGHT(b, 2), COALESCE(a, b, 1), NULLIF(a, 0), ISNULL(a, ''), CURRENT_TIMESTAMP, USER, SYSTEM_USER, @@ROWCOUNT, @@SPID, GETDATE(), IIF(a > 1 AND b = 2, 'x', 'y'), CHOOSE(1, 'a', 'b') FROM T
--> clean

SELECT DATEADD(day, 1, a), DATEDIFF(mm, a, b), DATEPART(yy, c), DATENAME(dw, d), EOMONTH(a), DATEADD(DAY, -1, DATEADD(MONTH, DATEDIFF(MONTH, 0, GETDATE()) + 1, 0)) FROM T
--> clean

SELECT a FROM T WHERE a = 1 AND b <> 2 OR c != 3 AND d !< 4 AND e !> 5 AND f > = 6 AND g < > 7
--> clean

SELECT a FROM T WHERE a LIKE '%x%' ESCAPE '\' AND b NOT LIKE 'y' AND c BETWEEN 1 AND 2 AND d NOT BETWEEN 3 AND 4 AND e IN (1, 2, 3) AND f NOT IN (SELECT x FROM U) AND g IS NULL AND h IS NOT NULL AND NOT (i = 1)
--> clean

SELECT a FROM T WHERE EXISTS (SELECT 1 FROM U WHERE U.x = T.x) AND NOT EXISTS (SELECT * FROM V) AND a = ANY (SELECT x FROM U) AND b >= ALL (SELECT y FROM U) AND c <> SOME (SELECT z FROM W)
--> clean

SELECT a FROM T WHERE ((a = 1)) AND ((b + 1) * 2) > 3 AND (((c))) = 4 AND (SELECT COUNT(*) FROM U) > 0 AND (SELECT 1) + 1 = 2 AND a IN ((1), (2 + 3) * 4)
--> clean

SELECT a FROM T WHERE a IN ((SELECT x FROM U) UNION (SELECT y FROM V))
--> clean

SELECT a FROM T GROUP BY a, b + 1, (c) HAVING COUNT(*) > 1 AND SUM(d) IS NOT NULL
--> clean

SELECT a FROM T GROUP BY ROLLUP (a, b), CUBE (c, (d, e)), GROUPING SETS ((a, b), (c), ()), (d, e), ()
--> clean

SELECT a FROM T GROUP BY a, b WITH ROLLUP
--> clean

SELECT a FROM T GROUP BY ALL a
--> clean

SELECT a FROM T, U, V v WHERE T.x = U.x
--> clean

SELECT a FROM T INNER JOIN U ON T.x = U.x LEFT JOIN V ON V.y = U.y LEFT OUTER JOIN W w ON w.z = V.z RIGHT JOIN X ON 1 = 1 FULL OUTER JOIN Y ON (1 = 1) CROSS JOIN Z
--> clean

SELECT a FROM T JOIN (U JOIN V ON U.x = V.x) ON T.y = U.y
--> clean

SELECT a FROM T JOIN U JOIN V ON U.x = V.x ON T.y = U.y
--> clean

SELECT a FROM T LEFT HASH JOIN U ON T.x = U.x INNER LOOP JOIN V ON V.x = U.x INNER MERGE JOIN W ON W.x = V.x
--> clean

SELECT a FROM (T CROSS JOIN U) LEFT JOIN ((V JOIN W ON V.x = W.x) JOIN X ON X.x = W.x) ON T.x = V.x
--> clean

SELECT a FROM T CROSS APPLY (SELECT TOP 1 x FROM U WHERE U.y = T.y ORDER BY z) u OUTER APPLY dbo.fn(T.a, 1) f CROSS APPLY T.doc.nodes('/r/x') AS N(c)
--> clean

SELECT N.c.value('(a)[1]', 'int'), T.doc.query('/x'), T.doc.exist('/y') FROM T CROSS APPLY T.doc.nodes('/r') AS N(c) WHERE T.doc.exist('/z') = 1
--> clean

SELECT STUFF((SELECT ',' + x FROM U WHERE U.y = T.y FOR XML PATH('')), 1, 1, '') x FROM T
--> clean

SELECT STUFF((SELECT ',' + x FROM U FOR XML PATH(''), TYPE).value('.', 'varchar(max)'), 1, 1, '') FROM T
--> clean

SELECT a FROM T FOR XML AUTO, ELEMENTS XSINIL, ROOT('x'), TYPE, BINARY BASE64
--> clean

SELECT a FROM T FOR JSON PATH, ROOT('x'), INCLUDE_NULL_VALUES, WITHOUT_ARRAY_WRAPPER
--> clean

SELECT a FROM T (NOLOCK), U WITH (NOLOCK), V v (NOLOCK), W w WITH (NOLOCK, INDEX(i1)), X WITH (NOLOCK) x, Y WITH(READUNCOMMITTED), Z WITH (INDEX = ix NOLOCK), Q (INDEX = 1)
--> clean

SELECT a FROM T AS t WITH (FORCESEEK (ix (a, b))), U WITH (TABLOCKX HOLDLOCK)
--> clean

SELECT T.a FROM dbo.T, [dbo].[U], db..V, db.dbo.W, dbo . T x, srv.db.dbo.Q, #t, ##g, tempdb..#t, @t v
--> clean

SELECT [From], [a]]b], [U y].[Group], "Order" FROM [T x] [U y]
--> clean

SELECT Limit, Offset, Date, Name, Type, Status, Month, Year, Value, Source, Phase, Description, Action, Level, Language, Path, Rows, Range, Row, First, Last, Next, Partition, Matched, Target, Output, Apply, Ties, Within FROM T
--> clean

SELECT Limit.Limit Limit, Limit.Date AS Date, Time 'Time' FROM T Limit
--> clean

SELECT a FROM T UNION SELECT b FROM U UNION ALL SELECT c FROM V EXCEPT SELECT d FROM W INTERSECT SELECT e FROM X ORDER BY a
--> clean

(SELECT a FROM T) UNION ALL (SELECT b FROM U) ORDER BY 1
--> clean

SELECT a FROM T UNION (SELECT b FROM U UNION ALL SELECT c FROM V)
--> clean

SELECT x.a FROM ((SELECT a FROM T) UNION (SELECT a FROM U)) x
--> clean

SELECT x.a FROM ((SELECT a FROM T) x CROSS JOIN U)
--> clean

SELECT a FROM T ORDER BY a OFFSET 10 ROWS FETCH NEXT 5 ROWS ONLY
--> clean

SELECT a FROM T ORDER BY a OFFSET @x ROWS
--> clean

SELECT a FROM T OPTION (RECOMPILE, MAXDOP 1, OPTIMIZE FOR (@x = 1), FORCE ORDER)
--> clean

SELECT p.N, p.L FROM (VALUES (1, 'a'), (2, 'b')) AS p (N, L)
--> clean

SELECT * FROM (SELECT a, b, c FROM T) s PIVOT (SUM(a) FOR b IN ([x], [y], z)) AS p
--> clean

SELECT * FROM T PIVOT (COUNT(a) FOR b IN ([1], [2])) p WHERE p.[1] > 0
--> clean

SELECT u.n, u.v FROM T UNPIVOT (v FOR n IN (a, b, [c d])) AS u JOIN V ON V.x = u.n
--> clean

WITH c AS (SELECT a FROM T) SELECT a FROM c
--> clean

;WITH c (A, B) AS (SELECT x, COUNT(*) FROM T GROUP BY x), d AS (SELECT A FROM c) SELECT A FROM d
--> clean

WITH r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT n FROM r OPTION (MAXRECURSION 0)
--> clean

DECLARE @x int, @y varchar(10) = 'a', @t TABLE (a int NOT NULL PRIMARY KEY, b varchar(10) NULL DEFAULT (''), CHECK (a > 0)) SET @x = 1 SELECT @x = a, @y += b FROM T
--> clean

SELECT a, b INTO #t FROM T SELECT a FROM #t DROP TABLE #t
--> clean

CREATE TABLE #t (a int IDENTITY(1,1) NOT NULL, b AS a * 2 PERSISTED, [c d] decimal(12,2), CONSTRAINT pk PRIMARY KEY CLUSTERED (a)) INSERT INTO #t (a, b) SELECT a, b FROM T INSERT #t VALUES (1, 2), (3, DEFAULT)
--> clean

IF OBJECT_ID('tempdb..#t') IS NOT NULL DROP TABLE #t; SELECT 1
--> clean

IF EXISTS (SELECT 1 FROM T) BEGIN SELECT 1; SELECT 2 END ELSE SELECT 3
--> clean

IF @x = 1 SELECT 1; ELSE IF @x = 2 SELECT 2 ELSE BEGIN PRINT 'x' END
--> clean

WHILE @x < 10 BEGIN SET @x = @x + 1; IF @x = 5 BREAK; CONTINUE END
--> clean

BEGIN TRY SELECT 1 END TRY BEGIN CATCH SELECT ERROR_MESSAGE(); THROW; END CATCH
--> clean

BEGIN TRAN UPDATE T SET a = 1, b += 2, c = DEFAULT WHERE a = 1 COMMIT TRAN
--> clean

UPDATE t SET t.a = u.a, @v = b = 1 OUTPUT inserted.a, deleted.b INTO @log FROM T t JOIN U u ON t.x = u.x WHERE t.y = 1 OPTION (RECOMPILE)
--> clean

DELETE FROM T WHERE a = 1 DELETE t FROM T t JOIN U ON U.x = t.x DELETE TOP (5) T
--> clean

MERGE INTO T AS t USING (SELECT a, b FROM U) AS u ON t.a = u.a WHEN MATCHED AND u.b = 1 THEN UPDATE SET t.b = u.b WHEN NOT MATCHED BY TARGET THEN INSERT (a, b) VALUES (u.a, u.b) WHEN NOT MATCHED BY SOURCE THEN DELETE OUTPUT $action, inserted.a;
--> clean

CREATE VIEW dbo.v (a, b) WITH SCHEMABINDING AS SELECT x, y FROM dbo.T WITH CHECK OPTION
--> clean

ALTER VIEW v AS WITH c AS (SELECT 1 AS a) SELECT a FROM c
--> clean

CREATE PROCEDURE p @a int = 1, @b varchar(10) OUTPUT AS SET NOCOUNT ON SELECT a FROM T WHERE b = @a RETURN 0
--> clean

CREATE PROC p (@a AS int) WITH RECOMPILE AS BEGIN SELECT 1 END
--> clean

CREATE FUNCTION f (@a int) RETURNS TABLE AS RETURN (SELECT a FROM T WHERE b = @a)
--> clean

CREATE FUNCTION f (@a int) RETURNS int AS BEGIN DECLARE @x int; SELECT @x = a FROM T; RETURN @x END
--> clean

USE Viewpoint
GO
SET NOCOUNT ON
SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED
GO
SELECT 1
GO 5
--> clean

EXEC sp_help 'T' EXEC dbo.p @a = 1, @b = @x OUTPUT EXEC (@sql) EXECUTE @r = dbo.p 1, N'x', NULL, DEFAULT
--> clean

sp_helptext 'v'
--> clean

DECLARE c CURSOR LOCAL FAST_FORWARD FOR SELECT a FROM T OPEN c FETCH NEXT FROM c INTO @a WHILE @@FETCH_STATUS = 0 BEGIN FETCH NEXT FROM c INTO @a END CLOSE c DEALLOCATE c
--> clean

GRANT SELECT ON T TO public
--> clean

SELECT {fn NOW()}, {d '2020-01-01'}, {ts '2020-01-01 00:00:00'}, {fn CONCAT(a, b)} FROM {oj T LEFT OUTER JOIN U ON T.x = U.x}
--> clean

SELECT a AT TIME ZONE 'UTC' AT TIME ZONE 'x' FROM T WHERE a COLLATE Latin1_General_CI_AS = b
--> clean

SELECT NEXT VALUE FOR dbo.seq, $1.50, 0xFF, 1e5, .5, 1., -.5, N'x', 'it''s' FROM T
--> clean

SELECT a FROM OPENQUERY(srv, 'SELECT 1') q, OPENROWSET('x', 'y', 'z') r, OPENDATASOURCE('a', 'b').db.dbo.T t
--> clean

SELECT j.a FROM OPENJSON(@j, '$.x') WITH (a int '$.a', b nvarchar(max) '$.b' AS JSON) j
--> clean

SELECT [key], value FROM OPENJSON(@j)
--> clean

SELECT a FROM T TABLESAMPLE (10 PERCENT) WHERE CONTAINS(a, 'x') AND FREETEXT((a, b), 'y') AND CONTAINS(*, 'z')
--> clean

SELECT a FROM T FOR SYSTEM_TIME AS OF '2020-01-01' t
--> clean

SELECT TRIM(a), TRIM('x' FROM a), TRIM(LEADING 'x' FROM b), a IS_OK FROM T
--> clean

SELECT a FROM T WHERE a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM d
--> clean

SELECT SUM(a) OVER w FROM T WINDOW w AS (PARTITION BY b ORDER BY c)
--> clean

SELECT hierarchyid::GetRoot(), geography::Point(1, 2, 4326).STAsText(), h.ToString() FROM T
--> clean

SELECT a FROM T WHERE a = (SELECT TOP 1 b FROM U ORDER BY c) AND d > (SELECT AVG(e) FROM V)
--> clean

INSERT INTO T (a) OUTPUT inserted.a EXEC dbo.p 1
--> clean

INSERT INTO T DEFAULT VALUES
--> clean

WITH c AS (SELECT a FROM T) UPDATE c SET a = 1
--> clean

WITH c AS (SELECT a FROM T) INSERT INTO U (a) SELECT a FROM c
--> clean

SELECT CONVERT(char(10), a, 101) + ' ' + CAST(b AS varchar) AS [x y], c = CASE WHEN d = 'Y' THEN 1 ELSE 0 END, * FROM T
--> clean

SELECT a FROM T WHERE (a = 1 OR b = 2) AND (c = 3) -- done
--> clean

SELECT DISTINCT a FROM T /* x /* y */ z */ WHERE a = '/* no */' AND b LIKE '%FROM LIMIT%' -- FROM nowhere
--> clean

ALTER TABLE #t ADD c int, d varchar(10) NULL
--> clean

CREATE UNIQUE CLUSTERED INDEX ix ON #t (a, b) INCLUDE (c) WITH (FILLFACTOR = 90); SELECT 1
--> clean

RAISERROR ('x %d', 16, 1, @a) WITH NOWAIT
--> clean

PRINT 'a' + CAST(@x AS varchar(10))
--> clean

SELECT a FROM T WHERE b = 1; WITH c AS (SELECT 1 AS x) SELECT x FROM c
--> clean

WAITFOR DELAY '00:00:01' SELECT 1
--> clean

lbl: SELECT 1 GOTO lbl
--> clean

SELECT x.* FROM (SELECT a FROM T UNION ALL SELECT b FROM U) x
--> clean

SELECT a FROM T AS [t] (NOLOCK) JOIN U u WITH (NOLOCK) ON t.a=u.a
--> clean

SELECT -1, +1, 2-1, 2 -1, a-1, a -1, 'a'+'b' FROM T ORDER BY -1, a
--> clean

SELECT IDENTITY(int, 1, 1) AS id, a INTO #x FROM T
--> clean

SELECT COUNT(*) AS Cnt, MAX(CASE WHEN a = 1 THEN b END) FROM T HAVING COUNT(*) > 0
--> clean

SELECT a FROM T JOIN U ON T.a = U.a AND T.b IN (SELECT x FROM V) AND EXISTS (SELECT 1 FROM W WHERE W.a = U.a)
--> clean

SELECT 1 ;;; SELECT 2;
--> clean

CREATE FUNCTION f () RETURNS TABLE AS RETURN (WITH c AS (SELECT a FROM T) SELECT c.a FROM c)
--> clean

BEGIN TRAN x WITH MARK 'y' TRUNCATE TABLE T WITH (PARTITIONS (1, 2)) COMMIT TRAN x WITH (DELAYED_DURABILITY = OFF) UPDATE STATISTICS T WITH FULLSCAN
--> clean

CREATE TABLE #t (a int, b datetime2(2) GENERATED ALWAYS AS ROW START NOT NULL) ON ps(a) WITH (DATA_COMPRESSION = PAGE)
--> clean

INSERT INTO T (a) SELECT m.a FROM (MERGE U AS u USING V AS v ON u.x = v.x WHEN MATCHED THEN UPDATE SET a = v.a OUTPUT inserted.a) AS m (a)
--> clean

SELECT a FROM ..#t, .[#u], DW..T
--> clean

SELECT DATEPART([day], a), all_pop. b, Row#, b@c, 'x' 'y''s' FROM dbo . T all_pop
--> clean

SELECT 1 AS x FROM T LEFT OUTER JOIN U LEFT OUTER JOIN V ON U.a = V.a ON T.b = U.b RIGHT OUTER JOIN W LEFT JOIN X ON W.a = X.a ON X.b = T.b
--> clean

SELECT a FROM T OPTION (OPTIMIZE FOR (@a = 'x', @b UNKNOWN), USE HINT ('y'), QUERYTRACEON 4199, HASH GROUP, FAST 10)
--> clean

SELECT @x.query('.').query('/a'), CONVERT(xml, N'<r/>').value('.', 'int'), (SELECT CONVERT(xml, '<r/>')).value('.', 'int') FROM @x.nodes('/r') T(c)
--> clean

CREATE TABLE #t (Period int, [Key] int, x int NOT NULL CHECK (x > 0) DEFAULT 0) SELECT #t.Period FROM #t
--> clean

ALTER TABLE T ADD CONSTRAINT pk PRIMARY KEY CLUSTERED (Id ASC) WITH (FILLFACTOR = 90) ON [PRIMARY] SELECT a FROM T
--> clean

ALTER TABLE #t ADD c int NOT NULL CONSTRAINT d DEFAULT (0) WITH VALUES SELECT a FROM T
--> clean

ALTER TABLE T ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES U (a) ON DELETE CASCADE NOT FOR REPLICATION; SELECT a FROM T
--> clean

ALTER TABLE T WITH NOCHECK ADD CONSTRAINT c CHECK NOT FOR REPLICATION (a > 0), CONSTRAINT u UNIQUE (a, b), DEFAULT getdate() FOR c
--> clean

ALTER TABLE T ALTER COLUMN a varchar(10) NULL; ALTER TABLE T DROP CONSTRAINT x; ALTER TABLE T NOCHECK CONSTRAINT ALL
--> clean

CREATE UNIQUE INDEX i ON #t (a) INCLUDE (b) WHERE a IS NOT NULL WITH (ONLINE = ON) SELECT a FROM T
--> clean

CREATE TYPE dbo.x FROM varchar(10) NOT NULL; CREATE TYPE dbo.y AS TABLE (a int)
--> clean

DECLARE @t TABLE (a int PRIMARY KEY, b varchar(10) UNIQUE CLUSTERED, INDEX i (b)) SELECT a FROM @t
--> clean

CREATE TABLE #t (a int REFERENCES T ON DELETE SET NULL, b xml(CONTENT dbo.s), [c d] AS ([a] + 1) PERSISTED NOT NULL)
--> clean
