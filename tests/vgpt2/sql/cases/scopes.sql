-- Names in scope: sub-queries, derived tables, APPLY, CTEs, stars, DML.
--! rules: names
--! table T1 (Id, A, B, Co)
--! table T2 (Id, C, D, Co)
--! table T3 (Id, E, F)
--! table Wide (Id, Amount, AmountDue, Invoice, InvoiceDate)

SELECT Nope
--> unknown_column Nope

SELECT Nope.Id FROM T1
--> unknown_qualifier Nope

SELECT T2.Id FROM T1
--> unknown_qualifier T2

SELECT T1.Id FROM T1 WHERE T2.Id = 1
--> unknown_qualifier T2

SELECT T1.C FROM T1 JOIN T2 ON T1.Id = T2.Id
--> unknown_column C

SELECT C, E FROM T1 JOIN T2 ON T1.Id = T2.Id
--> unknown_column E

SELECT Id FROM T1 JOIN T2 ON T1.Co = T2.Co
--> ambiguous_column Id (T1.Id)

SELECT T1.Id FROM T1 JOIN T2 ON Id = T2.Id
--> ambiguous_column Id (T1.Id)

SELECT T1.Id FROM T1 JOIN T2 ON T1.Id = T2.Id ORDER BY Id
--> clean

SELECT T1.A FROM T1 JOIN T2 ON T1.Id = T2.Id ORDER BY Id
--> ambiguous_column Id (T1.Id)

SELECT T1.A FROM T1 JOIN T2 ON T1.Id = T2.Id GROUP BY Co, T1.A
--> ambiguous_column Co (T1.Co)

SELECT Fake.Id FROM Fake
--> unknown_table Fake

SELECT Fake.Id, T1.Id FROM Fake JOIN T1 ON T1.Id = Fake.Id AND T1.Nope = Fake.X
--> unknown_table Fake
--> unknown_column Nope

SELECT Anything FROM Fake WHERE Other = 1
--> unknown_table Fake

SELECT f.Id FROM Fake f
--> unknown_table Fake

SELECT Wide.AmountDeu FROM Wide
--> unknown_column AmountDeu (AmountDue)

SELECT InvoiceDat FROM Wide
--> unknown_column InvoiceDat (InvoiceDate)

SELECT T1.Id FROM T1 WHERE T1.Id IN (SELECT T2.Id FROM T2 WHERE T2.A = 1)
--> unknown_column A

SELECT T1.Id FROM T1 WHERE T1.Id IN (SELECT T2.Id FROM T2 WHERE A = 1)
--> clean

SELECT T1.Id, T2.C FROM T1 WHERE T1.Id IN (SELECT T2.Id FROM T2)
--> unknown_qualifier T2

SELECT T1.Id FROM T1 WHERE EXISTS (SELECT 1 FROM T2 WHERE T2.Id = T1.Id) AND T2.C = 1
--> unknown_qualifier T2

SELECT (SELECT T2.C FROM T2 WHERE T2.Id = T1.Id AND T2.D = T3.E) AS C FROM T1
--> unknown_qualifier T3

SELECT d.Id FROM (SELECT T1.Id, T1.A FROM T1) d WHERE d.B = 1
--> unknown_column B

SELECT d.Id FROM (SELECT T1.Id FROM T1) d WHERE T1.A = 1
--> unknown_qualifier T1

SELECT d.Total FROM (SELECT T1.Co, SUM(T1.A) AS Total FROM T1 GROUP BY T1.Co) d
--> clean

SELECT d.Co FROM (SELECT T1.Co, SUM(T1.A) FROM T1 GROUP BY T1.Co) d
--> syntax d

SELECT Total FROM (SELECT SUM(A) AS Total FROM T1) d WHERE A = 1
--> unknown_column A

SELECT c.Id FROM T1 CROSS APPLY (SELECT TOP 1 T2.C FROM T2 WHERE T2.Id = T1.Id ORDER BY T2.D) c
--> unknown_column Id

SELECT T1.Id, c.C FROM T1 OUTER APPLY (SELECT TOP 1 T2.C FROM T2 WHERE T2.Id = T1.Nope ORDER BY T2.D) c
--> unknown_column Nope

SELECT T1.Id, v.N FROM T1 CROSS APPLY (VALUES (T1.A), (T1.B)) v (N)
--> clean

SELECT T1.Id, v.N FROM T1 CROSS APPLY (VALUES (T1.A), (T1.Nope)) v (N)
--> unknown_column Nope

WITH c AS (SELECT Id, A FROM T1) SELECT c.B FROM c
--> unknown_column B

WITH c AS (SELECT Id, A FROM T1) SELECT Id FROM c JOIN T2 ON T2.Id = c.Id
--> ambiguous_column Id (c.Id)

WITH c AS (SELECT Id, Nope FROM T1) SELECT c.Id FROM c
--> unknown_column Nope

WITH c AS (SELECT SUM(A) FROM T1) SELECT 1 AS One FROM c
--> syntax c

WITH c AS (SELECT Id FROM T1), c2 AS (SELECT c.Id, c.A FROM c) SELECT c2.Id FROM c2
--> unknown_column A

WITH c AS (SELECT Id FROM T1) SELECT d.Id FROM (SELECT c.Id FROM c) d
--> clean

WITH c AS (SELECT Id FROM T1) SELECT Id FROM T2 WHERE Id IN (SELECT Id FROM c) UNION SELECT Id FROM c
--> clean

WITH a AS (SELECT Id FROM T1), b AS (SELECT Id FROM a UNION ALL SELECT Id FROM T2) SELECT b.Id FROM b WHERE b.Co = 1
--> unknown_column Co

SELECT T1.* FROM T1 JOIN T2 ON T1.Id = T2.Id
--> clean

SELECT T3.* FROM T1 JOIN T2 ON T1.Id = T2.Id
--> unknown_qualifier T3

SELECT x.*, T2.C FROM T1 x JOIN T2 ON x.Id = T2.Id
--> clean

SELECT *
--> syntax *

SELECT d.C, d.A FROM (SELECT T1.A, T2.* FROM T1 JOIN T2 ON T1.Id = T2.Id) d
--> clean

SELECT d.B FROM (SELECT T1.A, T2.* FROM T1 JOIN T2 ON T1.Id = T2.Id) d
--> unknown_column B

SELECT T1.Id FROM T1 ORDER BY Nope
--> unknown_column Nope

SELECT T1.Id FROM T1 ORDER BY T1.A, B DESC
--> clean

SELECT T1.Id FROM T1 ORDER BY 2
--> syntax 2

SELECT T1.Id AS X FROM T1 ORDER BY x
--> case x (X)

SELECT CASE WHEN T1.A = 1 THEN T1.Nope ELSE T1.B END AS X FROM T1
--> unknown_column Nope

SELECT T1.Id FROM T1 WHERE T1.A BETWEEN T1.Lo AND T1.Hi
--> unknown_column Lo
--> unknown_column Hi

SELECT COUNT(DISTINCT T1.Nope) AS N FROM T1
--> unknown_column Nope

SELECT COALESCE(T1.A, T1.B, T1.C) AS N FROM T1
--> unknown_column C

SELECT T1.Id FROM T1 GROUP BY T1.Id HAVING SUM(T1.C) > 0
--> unknown_column C

SELECT T1.Id FROM T1 WHERE (T1.A = 1 OR (T1.B = 2 AND NOT (T1.C = 3)))
--> unknown_column C

SELECT 1 AS One FROM T1 a JOIN T1 b ON a.Id = b.Id AND a.A = b.C
--> unknown_column C

SELECT 1 AS One FROM T1 a LEFT JOIN T2 b ON a.Id = b.Id AND c.E = 1 LEFT JOIN T3 c ON c.Id = b.Id
--> unknown_qualifier c

SELECT 1 AS One FROM (T1 JOIN T2 ON T1.Id = T2.Id) JOIN T3 ON T3.Id = T2.Nope
--> unknown_column Nope

SELECT 1 AS One FROM sys.objects o JOIN sys.columns c ON c.object_id = o.object_id WHERE o.name = 'x'
--> clean

SELECT 1 AS One FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'T1'
--> clean

SELECT name FROM master..sysdatabases
--> clean

SELECT name FROM sysobjects WHERE xtype = 'U'
--> clean

SELECT T1.Id FROM sales.T1
--> unknown_table sales.T1 (dbo.T1)

SELECT T1.Id FROM T1 WHERE dbo.T1.A = 1
--> clean

SELECT T1.Id FROM T1 WHERE dbo.T2.C = 1
--> unknown_qualifier T2

SELECT x.Id FROM T1 AS x WHERE X.A = 1
--> case X (x)

SELECT T1.Id FROM T1 WHERE EXISTS (SELECT * FROM T1 x WHERE x.A = T1.A AND x.Nope = 1)
--> unknown_column Nope

UPDATE T1 SET A = 1, Nope = 2 WHERE B = 3
--> unknown_column Nope

UPDATE x SET x.A = T2.C FROM T1 x JOIN T2 ON T2.Id = x.Id WHERE x.Nope = 1
--> unknown_column Nope

UPDATE T1 SET A = T2.C FROM T1 JOIN T2 ON T2.Id = T1.Id
--> clean

DELETE FROM T1 WHERE Nope = 1
--> unknown_column Nope

DELETE x FROM T1 x JOIN T2 ON T2.Id = x.Id WHERE T2.A = 1
--> unknown_column A

INSERT INTO T1 (Id, A) SELECT T2.Id, T2.C FROM T2
--> clean

INSERT INTO T1 (Id, Nope) SELECT T2.Id, T2.C FROM T2
--> unknown_column Nope

INSERT INTO T1 (Id, A) SELECT T2.Id FROM T2
--> syntax INSERT

INSERT INTO T1 (Id, A) VALUES (1, 2, 3)
--> syntax INSERT

INSERT INTO Fake (Id) VALUES (1)
--> unknown_table Fake

UPDATE T1 SET A = 1 OUTPUT inserted.A, deleted.Nope WHERE Id = 1
--> unknown_column Nope

MERGE T1 AS t USING T2 AS s ON t.Id = s.Id WHEN MATCHED THEN UPDATE SET t.A = s.C WHEN NOT MATCHED THEN INSERT (Id, Nope) VALUES (s.Id, s.D);
--> unknown_column Nope

DECLARE @x int = (SELECT MAX(T1.Nope) FROM T1)
--> unknown_column Nope

IF EXISTS (SELECT 1 FROM T1 WHERE T1.Nope = 1) SELECT T1.Id FROM T1 ELSE SELECT T2.A FROM T2
--> unknown_column Nope
--> unknown_column A

BEGIN TRY SELECT T1.Nope FROM T1 END TRY BEGIN CATCH SELECT ERROR_MESSAGE() AS M END CATCH
--> unknown_column Nope

CREATE PROCEDURE p @Co int AS SELECT T1.Nope FROM T1 WHERE T1.Co = @Co
--> unknown_column Nope

CREATE VIEW v (X, Y) AS SELECT T1.Id, T1.Nope FROM T1
--> unknown_column Nope

CREATE VIEW v AS SELECT T1.Id FROM T1 ORDER BY T1.Id
--> syntax ORDER

SELECT d.Id FROM (SELECT T1.Id FROM T1 ORDER BY T1.Id) d
--> syntax ORDER

SELECT d.Id FROM (SELECT TOP 5 T1.Id FROM T1 ORDER BY T1.Id) d
--> clean

SELECT d.Id FROM (SELECT T1.Id FROM T1 ORDER BY T1.Id OFFSET 5 ROWS) d
--> clean

SELECT T1.Id INTO #a FROM T1; SELECT T2.Id, #a.Id AS Id2 INTO #b FROM T2 JOIN #a ON #a.Id = T2.Id; SELECT #b.Id2, #b.Id3 FROM #b
--> unknown_column Id3

SELECT a.Id FROM #a a JOIN T1 ON T1.Id = a.Anything WHERE T1.Nope = 1
--> unknown_column Nope

SELECT j.value FROM OPENJSON('[]') j WHERE j.nope = 1
--> unknown_column nope

SELECT j.id FROM OPENJSON('[]') WITH (id int '$.id', amount money) j WHERE j.total = 1
--> unknown_column total

SELECT s.value FROM T1 CROSS APPLY STRING_SPLIT(T1.A, ',') s
--> clean
