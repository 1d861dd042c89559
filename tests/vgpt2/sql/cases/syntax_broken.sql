-- Texts that SQL Server refuses, and the word at which it must be noticed.
--! catalogue: open
--! rules: names

SELECT a FROM T WHERE (a = 1
--> syntax

SELECT a FROM T WHERE a = 1)
--> syntax )

SELECT ISNULL(a, 1 FROM T
--> syntax FROM

SELECT a, FROM T
--> syntax FROM

SELECT a,, b FROM T
--> syntax ,

SELECT , a FROM T
--> syntax ,

SELECT T.a T.b FROM T
--> syntax .

SELECT a b c FROM T
--> syntax c

SELECT FROM T
--> syntax FROM

SELECT a FROM WHERE b = 1
--> syntax WHERE

SELECT a FROM T WHERE
--> syntax

SELECT a FROM T WHERE a =
--> syntax

SELECT a FROM T WHERE = 1
--> syntax =

SELECT a FROM T WHERE a = 1 AND
--> syntax

SELECT a FROM T WHERE AND a = 1
--> syntax AND

SELECT a FROM T GROUP a
--> syntax a

SELECT a FROM T ORDER a
--> syntax a

SELECT a FROM T ORDER BY
--> syntax

SELECT a FROM T ORDER BY a b
--> syntax b

SELECT a FROM T BY a
--> syntax BY

SELECT a FROM T JOIN U
--> syntax

SELECT a FROM T JOIN U WHERE a = 1
--> syntax WHERE

SELECT a FROM T JOIN ON a = b
--> syntax ON

SELECT a FROM T U ON T.a = U.a
--> syntax ON

SELECT a FROM T INNER U ON T.a = U.a
--> syntax U

SELECT a FROM T LEFT U ON T.a = U.a
--> syntax U

SELECT a FROM T JOIN U ON a
--> syntax a

SELECT a FROM T JOIN U ON T.a U.a
--> syntax U

SELECT a FROM T JOIN U ON T.a = U.a T.b = U.b
--> syntax T

SELECT a FROM T WHERE a = 1 GROUP BY a WHERE b = 1
--> syntax WHERE

SELECT a FROM T ORDER BY a WHERE b = 1
--> syntax WHERE

SELECT a WHERE b = 1 FROM T
--> syntax FROM

SELECT a FROM T GROUP BY a ORDER BY b HAVING COUNT(*) > 1
--> syntax HAVING

SELECT a FROM T HAVING COUNT(*) > 1 GROUP BY a
--> syntax GROUP

SELECT a FROM T LIMIT 10
--> syntax LIMIT

SELECT a FROM T WHERE b = 1 LIMIT 10
--> syntax LIMIT

SELECT a FROM T ORDER BY a LIMIT 10 OFFSET 5
--> syntax LIMIT

SELECT a FROM T ORDER BY a OFFSET 5
--> syntax

SELECT a FROM T FETCH FIRST 5 ROWS ONLY
--> syntax 5

SELECT `a` FROM T
--> syntax `

SELECT a FROM `T`
--> syntax `

SELECT a FROM T WHERE a ILIKE 'x'
--> syntax ILIKE

SELECT a::int FROM T
--> syntax ::

SELECT a || b FROM T
--> syntax ||

SELECT EXTRACT(YEAR FROM a) FROM T
--> syntax FROM

SELECT a FROM T WHERE a > DATE '2020-01-01'
--> syntax DATE

SELECT DATE '2020-01-01' FROM T
--> syntax DATE

SELECT a FROM T WHERE a > GETDATE() - INTERVAL '1 day'
--> syntax INTERVAL

SELECT a > 1 FROM T
--> syntax >

SELECT (a > 1) AS b FROM T
--> syntax (

SELECT a AND b FROM T
--> syntax AND

SELECT T.a = 1 FROM T
--> syntax =

SELECT a IS NULL FROM T
--> syntax IS

SELECT NOT a FROM T
--> syntax NOT

SELECT COUNT(a > 1) FROM T
--> syntax >

SELECT a FROM T WHERE a
--> syntax a

SELECT a FROM T WHERE a AND b = 1
--> syntax AND

SELECT a FROM T WHERE a = b = c
--> syntax =

SELECT a FROM T WHERE NOT a
--> syntax a

SELECT CASE a = 1 THEN 2 END FROM T
--> syntax =

SELECT CASE WHEN a = 1 2 END FROM T
--> syntax 2

SELECT CASE WHEN a = 1 THEN 2 FROM T
--> syntax FROM

SELECT CASE WHEN a THEN 2 END FROM T
--> syntax THEN

SELECT CASE WHEN a = 1 THEN ELSE 2 END FROM T
--> syntax ELSE

SELECT CASE END FROM T
--> syntax END

SELECT CAST(a int) FROM T
--> syntax int

SELECT CAST(a AS) FROM T
--> syntax )

SELECT CAST(a AS string) FROM T
--> syntax string

SELECT CAST(a, int) FROM T
--> syntax ,

SELECT CONVERT(varchar(10) a) FROM T
--> syntax a

SELECT a FROM T WHERE a IN 1, 2
--> syntax 1

SELECT a FROM T WHERE a IN ()
--> syntax )

SELECT a FROM T WHERE a IN (1 2)
--> syntax 2

SELECT a FROM T WHERE a BETWEEN 1 2
--> syntax 2

SELECT a FROM T WHERE a BETWEEN 1
--> syntax

SELECT a FROM T WHERE a IS 1
--> syntax 1

SELECT a FROM T WHERE a NOT NULL
--> syntax NULL

SELECT a FROM T WHERE a LIKE
--> syntax

SELECT a FROM T WHERE EXISTS SELECT 1
--> syntax SELECT

SELECT a FROM T WHERE (a, b) IN (SELECT 1, 2)
--> syntax ,

SELECT a FROM (SELECT b FROM U)
--> syntax

SELECT a FROM (SELECT b FROM U x
--> syntax

SELECT a FROM T ORDER BY a NULLS LAST
--> syntax NULLS

SELECT DISTINCT ON (a) b FROM T
--> syntax ON

SELECT TOP 10 DISTINCT a FROM T
--> syntax DISTINCT

SELECT a FROM T WITH NOLOCK
--> syntax WITH

SELECT a FROM T WITH (NO LOCK)
--> syntax NO

SELECT a FROM T NATURAL JOIN U
--> syntax

SELECT a FROM T JOIN U USING (a)
--> syntax USING

SELECT a FROM T UNION
--> syntax

SELECT a FROM T UNION ALL b FROM U
--> syntax b

SELECT a FROM T ORDER BY a UNION SELECT b FROM U
--> syntax UNION

WITH c (SELECT a FROM T) SELECT a FROM c
--> syntax SELECT

WITH c AS SELECT a FROM T SELECT a FROM c
--> syntax SELECT

WITH c AS (SELECT a FROM T)
--> syntax

SELECT 1 WITH c AS (SELECT 2 x) SELECT x FROM c
--> syntax WITH

SELECT a FROM (WITH c AS (SELECT 1 x) SELECT x FROM c) d
--> syntax WITH

SELECT a Order FROM T
--> syntax FROM

SELECT T.Group FROM T
--> syntax Group

SELECT key FROM T
--> syntax key

SELECT a FROM Order
--> syntax Order

SELECT 'abc FROM T
--> syntax 'abc FROM T

SELECT a FROM T /* x
--> syntax /* x

SELECT a FROM [T
--> syntax [T

SELECT a FROM T GROUP BY 1
--> syntax 1

SELECT TOP a FROM T
--> syntax a

SELECT a FROM T WHERE a == 1
--> syntax =

SELECT a FROM T WHERE a <=> 1
--> syntax >

SELECT a FROM T WHERE a =! 1
--> syntax !

SELECT a FROM T WHERE a * = b
--> syntax =

SELECT a FROM T WHERE a *= b
--> syntax a

SELECT a b FROM T x y
--> syntax y

SELECT a FROM T, WHERE a = 1
--> syntax WHERE

SELECT a FROM T WHERE a = 1 OR OR b = 2
--> syntax OR

SELECT SUM(a) OVER PARTITION BY b FROM T
--> syntax BY

SELECT SUM(a) OVER (PARTITION b) FROM T
--> syntax b

SELECT SUM(a) OVER (BY b) FROM T
--> syntax BY

SELECT DATEADD('day', 1, a) FROM T
--> syntax 'day'

SELECT DATEDIFF(a, b) FROM T
--> syntax a

SELECT COUNT(*) FILTER (WHERE a = 1) FROM T
--> syntax WHERE

SELECT a FROM T WHERE a REGEXP 'x'
--> syntax REGEXP

SELECT a FROM T WHERE a ~ 'x'
--> syntax ~

SELECT a FROM T WHERE a = :p
--> syntax :

SELECT a FROM T WHERE a = ?
--> syntax ?

SELECT a FROM T WHERE a = $1 AND
--> syntax

SELECT a FROM T WHERE a % 2
--> syntax a

SELECT a, b FROM T GROUP BY a, HAVING COUNT(*) > 1
--> syntax HAVING

SELECT a FROM T RIGHT OUTER U ON T.a = U.a
--> syntax U

SELECT a FROM T CROSS U
--> syntax U

SELECT a FROM T OUTER JOIN U ON 1 = 1
--> syntax JOIN

APTH.APCo, APTH.Mth FROM APTH
--> syntax APTH

hello world
--> syntax hello

FROM T SELECT a
--> syntax FROM

SELECT a FROM T; SELECT b FROM U WHERE; SELECT c FROM V
--> syntax ;

SELECT MAX(a FROM T
--> syntax FROM

SELECT a FROM T QUALIFY ROW_NUMBER() OVER (ORDER BY a) = 1
--> syntax ROW_NUMBER

SELECT a FROM T PIVOT (SUM(x) FOR y IN (1, 2)) p
--> syntax 1

SELECT * FROM T PIVOT (SUM(x) FOR y IN ([1]))
--> syntax

SELECT a FROM T FOR XML
--> syntax

SELECT a INTO FROM T
--> syntax FROM

INSERT INTO T (a, b) VALUES 1, 2
--> syntax 1

INSERT INTO T a, b SELECT 1, 2
--> syntax a

UPDATE T a = 1
--> syntax a

UPDATE T SET a = 1, WHERE b = 1
--> syntax WHERE

DELETE T WHERE
--> syntax

DECLARE @x SELECT 1
--> syntax SELECT

SET = 1
--> syntax =

IF a SELECT 1
--> syntax SELECT

BEGIN SELECT 1
--> syntax

SELECT 1 END
--> syntax END

CREATE TABLE #t (a, b int)
--> syntax ,

SELECT a FROM T EXCEPT ALL SELECT b FROM U
--> syntax ALL

SELECT a FROM T x JOIN U y ON x.a = y.a AND
--> syntax

SELECT a.b.c.d.e FROM T
--> syntax a

SELECT a. FROM T
--> syntax FROM

SELECT .a FROM T
--> syntax .

SELECT a FROM T.
--> syntax .

SELECT a FROM T WHERE b = 'x' 'y'
--> syntax 'y'

SELECT a FROM T WHERE b IN ('x' 'y')
--> syntax 'y'

SELECT a AS FROM T
--> syntax FROM

SELECT a AS b AS c FROM T
--> syntax AS

SELECT TRUE AND FALSE FROM T
--> syntax AND

SELECT a FROM T WHERE a = 1 && b = 2
--> syntax &

SELECT IF(a = 1, 2, 3) FROM T
--> syntax IF

SELECT a FROM T START WITH b = 1
--> syntax WITH

SELECT a FROM T t1 t2
--> syntax t2

SELECT * a FROM T
--> syntax a

SELECT a FROM T WHERE a > ALL (1, 2)
--> syntax ,

