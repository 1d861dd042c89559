-- The traps of T-SQL checking, by number: what a careless checker gets wrong.
--! rules: names
--! table T (A, B, C, Name, Amt, Date, D, X, Co, [From], Description, Doc, Limit)
--! table T1 (X, A, B, Co)
--! table T2 (Y, A, C, Co)
--! table U (A, X, Z)
--! table V (A, Name, Status)

-- 1: the same alias in branches of a UNION means different tables
SELECT a.X FROM T1 a UNION ALL SELECT a.Y FROM T2 a
--> clean

SELECT a.X FROM T1 a UNION ALL SELECT a.X FROM T2 a
--> unknown_column X

SELECT (SELECT MAX(a.Y) FROM T2 a) AS M FROM T1 a WHERE a.X = 1
--> clean

-- 2: name = expression, and string aliases
SELECT Total = SUM(t.Amt), 'Label' = t.Name FROM T t GROUP BY t.Name
--> clean

SELECT t.Amt AS 'x', t.Amt AS "x y", t.Amt AS [x z], t.Amt 'w' FROM T t
--> clean

SELECT Total = SUM(t.Nope) FROM T t
--> unknown_column Nope

-- 3: an alias is visible in ORDER BY and nowhere else
SELECT A + 1 AS S FROM T ORDER BY S
--> clean

SELECT A + 1 AS S FROM T WHERE S > 1
--> unknown_column S

SELECT A + 1 AS S FROM T GROUP BY S
--> unknown_column S

SELECT A + 1 AS S, COUNT(*) AS N FROM T GROUP BY A + 1 HAVING N > 1
--> unknown_column N

SELECT A + 1 AS S FROM T ORDER BY S + 1
--> unknown_column S

SELECT A + 1 AS S, S * 2 AS S2 FROM T
--> unknown_column S

-- 4: an alias hides the table's name
SELECT T.A FROM T x
--> unknown_qualifier T (x)

SELECT dbo.T.A FROM T
--> clean

SELECT dbo.T.A FROM dbo.T x
--> unknown_qualifier T (x)

SELECT T.A FROM dbo.T
--> clean

SELECT x.A FROM T x
--> clean

-- 5: brackets, spaces around dots, empty parts of a name
SELECT [T].[A], t2.[From] FROM [dbo].[T] JOIN dbo . T AS t2 ON t2.A = [T].A
--> clean

SeLeCt T.A fRoM db..T Where T.[From] = 1 oRdEr By [Description]
--> clean

SELECT [A]]B] FROM T
--> unknown_column A]B

-- 6: words that other dialects reserve are names here
SELECT Limit, Name, Date, Description FROM T WHERE Limit > 1 ORDER BY Limit
--> clean

SELECT A AS Limit, B AS Offset, C AS Status, D AS Type, X AS Value FROM T
--> clean

SELECT Name FROM T ORDER BY Name LIMIT 5
--> syntax LIMIT

SELECT Limit FROM T LIMIT 5
--> syntax LIMIT

-- 7: words in strings and comments
SELECT T.A FROM T WHERE T.D LIKE '%FROM LIMIT%' -- FROM nowhere
--> clean

SELECT /* FROM nowhere /* nested */ still */ T.A FROM T
--> clean

SELECT T.A FROM T WHERE T.D = 'it''s -- no comment' AND T.Name = '/* nor this */'
--> clean

SELECT T.A FROM T /* never ends
--> syntax /* never ends

-- 8: common table expressions
WITH c (N, M) AS (SELECT X, COUNT(*) FROM T1 GROUP BY X) SELECT N, M FROM c
--> clean

WITH c (N, M) AS (SELECT X, COUNT(*) FROM T1 GROUP BY X) SELECT X FROM c
--> unknown_column X

;WITH c AS (SELECT X FROM T1), d AS (SELECT c.X AS W FROM c) SELECT d.W FROM d
--> clean

WITH d AS (SELECT c.X FROM c), c AS (SELECT X FROM T1) SELECT d.X FROM d
--> unknown_table c

WITH r AS (SELECT 1 AS n, X FROM T1 UNION ALL SELECT r.n + 1, r.X FROM r WHERE r.n < 9) SELECT n, X FROM r
--> clean

WITH r (n) AS (SELECT 1 UNION ALL SELECT m + 1 FROM r) SELECT n FROM r
--> unknown_column m

WITH T1 AS (SELECT Y AS Q FROM T2) SELECT T1.Q FROM T1
--> clean

WITH T1 AS (SELECT Y AS Q FROM T2) SELECT T1.X FROM T1
--> unknown_column X

WITH c AS (SELECT X FROM T1) SELECT c.X FROM c WHERE EXISTS (SELECT 1 FROM c d WHERE d.X = c.X)
--> clean

-- 9: derived tables with a column list, stars through them
SELECT p.N, p.L FROM (VALUES (1, 'a'), (2, 'b')) AS p (N, L)
--> clean

SELECT p.M FROM (VALUES (1, 'a')) AS p (N, L)
--> unknown_column M

SELECT p.N FROM (VALUES (1, 'a'), (2)) AS p (N, L)
--> syntax VALUES

SELECT d.X, d.B FROM (SELECT * FROM T1) d
--> clean

SELECT d.Nope FROM (SELECT * FROM T1) d
--> unknown_column Nope

SELECT d.Y FROM (SELECT T1.*, T2.Y FROM T1 CROSS JOIN T2) d
--> clean

WITH c AS (SELECT a.* FROM T1 a), e AS (SELECT * FROM c) SELECT e.X, e.Y FROM e
--> unknown_column Y

SELECT d.K FROM (SELECT X AS J FROM T1) AS d (K)
--> clean

SELECT d.J FROM (SELECT X AS J FROM T1) AS d (K)
--> unknown_column J

SELECT d.J FROM (SELECT X AS J, A FROM T1) AS d (K)
--> unknown_column J
--> syntax d

-- 10: correlation, shadowing, ambiguity, the order of declaration
SELECT T1.X FROM T1 WHERE EXISTS (SELECT 1 FROM T2 WHERE T2.A = T1.A)
--> clean

SELECT T1.X, (SELECT MAX(T2.Y) FROM T2 WHERE T2.A = T1.A) AS M FROM T1
--> clean

SELECT T1.X, d.Y FROM T1 CROSS APPLY (SELECT T2.Y FROM T2 WHERE T2.A = T1.A) d
--> clean

SELECT T1.X, d.Y FROM T1 JOIN (SELECT T2.Y FROM T2 WHERE T2.A = T1.A) d ON 1 = 1
--> unknown_qualifier T1

SELECT T1.X FROM T1 WHERE T1.A IN (SELECT B FROM T2)
--> clean

SELECT T1.X FROM T1 WHERE T1.A IN (SELECT Nope FROM T2)
--> unknown_column Nope

SELECT A FROM T1 JOIN T2 ON T1.A = T2.A
--> ambiguous_column A

SELECT X, Y FROM T1 JOIN T2 ON T1.A = T2.A
--> clean

SELECT a.X FROM T1 a JOIN T2 a ON 1 = 1
--> ambiguous_column a

SELECT T1.X FROM T1 JOIN T2 ON T2.A = U.A JOIN U ON U.A = T1.A
--> unknown_qualifier U

SELECT T1.X FROM T1, T2 JOIN U ON U.A = T1.A
--> unknown_qualifier T1

SELECT T.A FROM T WHERE T.Name = "Smith"
--> unknown_column Smith

SELECT T.A FROM T WHERE T.B = TRUE
--> unknown_column TRUE

SELECT T1.X, (SELECT d.M FROM (SELECT MAX(T2.Y) AS M FROM T2 WHERE T2.A = T1.A) d) AS M FROM T1
--> clean

-- 11: comma joins, nested joins, ON in reverse order
SELECT T1.X, T2.Y FROM T1, T2 WHERE T1.A = T2.A
--> clean

SELECT T1.X FROM T1 JOIN (T2 JOIN U ON T2.A = U.A) ON T1.A = U.A
--> clean

SELECT T1.X FROM T1 JOIN T2 JOIN U ON T2.A = U.A ON T1.A = T2.A
--> clean

SELECT T1.X FROM T1 JOIN T2 JOIN U ON T1.A = U.A ON T1.A = T2.A
--> unknown_qualifier T1

-- 12: hints in every place
SELECT T.A FROM T (NOLOCK), T1 WITH (NOLOCK, INDEX(i1)), T2 b WITH(READUNCOMMITTED), U WITH (NOLOCK) u, V (NOLOCK) v
--> clean

-- 13: functions, dateparts, types and niladic functions are no columns
SELECT DATEADD(day, 1, T.Date), CONVERT(varchar(30), T.A), CAST(T.A AS bCompany), LEFT(T.Name, 3), RIGHT(T.Name, 2) FROM T
--> clean

SELECT CURRENT_TIMESTAMP, USER, SYSTEM_USER, @@ROWCOUNT, dbo.fn(T.A), DATEDIFF(mm, T.Date, GETDATE()) FROM T
--> clean

SELECT f.Anything FROM dbo.vf_list(1) f CROSS APPLY dbo.other(f.Whatever) g WHERE g.More = 1
--> clean

SELECT T.A, f.Anything FROM T CROSS APPLY dbo.fn(T.Nope) f
--> unknown_column Nope

SELECT GETDATE FROM T
--> unknown_column GETDATE

-- 14: clauses that make columns, or hold words that are none
SELECT p.Name, p.[1], p.[2] FROM (SELECT Name, A, Amt FROM T) s PIVOT (SUM(Amt) FOR A IN ([1], [2])) p
--> clean

SELECT p.Amt FROM (SELECT Name, A, Amt FROM T) s PIVOT (SUM(Amt) FOR A IN ([1], [2])) p
--> unknown_column Amt

SELECT s.Name FROM (SELECT Name, A, Amt FROM T) s PIVOT (SUM(Amt) FOR A IN ([1], [2])) p
--> unknown_qualifier s

SELECT u.Co, u.Which, u.Worth FROM T UNPIVOT (Worth FOR Which IN (A, B)) u
--> clean

SELECT u.A FROM T UNPIVOT (Worth FOR Which IN (A, B)) u
--> unknown_column A

SELECT n.c.value('(a)[1]', 'int') FROM T CROSS APPLY T.Doc.nodes('/r') AS n(c)
--> clean

SELECT n.d.value('(a)[1]', 'int') FROM T CROSS APPLY T.Doc.nodes('/r') AS n(c)
--> unknown_column d

SELECT STUFF((SELECT ',' + U.Z FROM U WHERE U.A = T.A FOR XML PATH('')), 1, 1, '') AS L FROM T OPTION (RECOMPILE)
--> clean

SELECT SUM(T.Amt) OVER (PARTITION BY T.Co ORDER BY T.Date ROWS UNBOUNDED PRECEDING) AS S FROM T
--> clean

SELECT SUM(T.Amt) OVER (PARTITION BY T.Nope) AS S FROM T
--> unknown_column Nope

SELECT STRING_AGG(T.Name, ',') WITHIN GROUP (ORDER BY T.Nope) AS S FROM T
--> unknown_column Nope

SELECT TOP (5) PERCENT WITH TIES T.A FROM T WHERE T.Name COLLATE Latin1_General_BIN = 'x' AND T.A >= ALL (SELECT U.A FROM U) ORDER BY T.A
--> clean

-- 15: several statements
DECLARE @v int SET @v = 1 SELECT @v = T.A FROM T WHERE T.B = @v SELECT @v AS V
--> clean

SELECT T.A, T.B + 1 AS S INTO #t FROM T SELECT #t.A, #t.S FROM #t
--> clean

SELECT T.A, T.B + 1 AS S INTO #t FROM T SELECT #t.B FROM #t
--> unknown_column B

CREATE TABLE #t (A int, B int) INSERT INTO #t (A, B) SELECT T.A, T.B FROM T SELECT x.A FROM #t x DROP TABLE #t
--> clean

CREATE TABLE #t (A int, B int) INSERT INTO #t (A, C) SELECT T.A, T.B FROM T
--> unknown_column C

DECLARE @t TABLE (A int, B int) INSERT @t SELECT T.A, T.B FROM T SELECT v.A, v.C FROM @t v
--> unknown_column C

IF OBJECT_ID('tempdb..#t') IS NOT NULL DROP TABLE #t; SELECT #s.Whatever FROM #s
--> clean

SELECT T.A FROM T
GO
SELECT T.B FROM T
GO
--> clean

SELECT T.A FROM T SELECT T.B FROM T SELECT T.Nope FROM T
--> unknown_column Nope

-- 16: behind a set operator ORDER BY sees the first branch's names
SELECT T1.X FROM T1 UNION SELECT T2.Y FROM T2 ORDER BY X
--> clean

SELECT T1.X FROM T1 UNION SELECT T2.Y FROM T2 ORDER BY Y
--> unknown_column Y

SELECT T1.X AS W FROM T1 EXCEPT SELECT T2.Y FROM T2 INTERSECT SELECT U.Z FROM U ORDER BY W
--> clean

SELECT T1.X, T1.A FROM T1 UNION ALL SELECT T2.Y FROM T2
--> syntax UNION

-- 17: a dropped comma may leave a legal alias
SELECT A B FROM T
--> clean

SELECT T.A T.B FROM T
--> syntax .

SELECT T1.X FROM T1 NATURAL JOIN T2
--> syntax

-- 18: operators of other dialects
SELECT T.A::int FROM T
--> syntax ::

SELECT T.Name || T.D FROM T
--> syntax ||

SELECT hierarchyid::GetRoot() FROM T
--> clean

-- 21: exact case
SELECT T.a FROM T
--> case a (A)

SELECT V.A FROM T v
--> case V (v)

SELECT v.A FROM T V
--> case v (V)

SELECT t.A FROM t
--> case t (T)

WITH Cte AS (SELECT X FROM T1) SELECT cte.X FROM cte
--> case cte (Cte)

SELECT d.Sum1 FROM (SELECT SUM(X) AS sum1 FROM T1) d
--> case Sum1 (sum1)

select T.A, Count(*), Isnull(T.B, 0), cast(T.C as VARCHAR(3)) from T group by T.A, T.B, T.C
--> clean

-- 22: what may end the text of a view
CREATE VIEW dbo.v AS SELECT T.A FROM T WHERE T.A > 1 WITH CHECK OPTION
--> clean

SELECT T.A FROM T WHERE T.A > 1
with check option
--> clean
