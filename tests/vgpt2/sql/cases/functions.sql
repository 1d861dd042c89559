-- Functions: those of other databases, wrong numbers of arguments, ranking without OVER.
--! rules: names
--! table T (A, B, C, Name, Date)

SELECT NVL(T.A, 0), IFNULL(T.B, 0) FROM T
--> unknown_function NVL (ISNULL)
--> unknown_function IFNULL (ISNULL)

SELECT NOW() AS N
--> unknown_function NOW (GETDATE)

SELECT LENGTH(T.Name) FROM T
--> unknown_function LENGTH (LEN)

SELECT SUBSTR(T.Name, 1, 2) FROM T
--> unknown_function SUBSTR (SUBSTRING)

SELECT TO_CHAR(T.Date, 'YYYY') FROM T
--> unknown_function TO_CHAR

SELECT DATE_TRUNC('month', T.Date) FROM T
--> unknown_function DATE_TRUNC

SELECT GETDATES() AS N
--> unknown_function GETDATES (GETDATE)

SELECT dbo.NVL(T.A, 0) FROM T
--> clean

SELECT sUm(T.A), Isnull(T.B, 0), getdate() FROM T GROUP BY T.B
--> clean

SELECT ISNULL(T.A) FROM T
--> syntax ISNULL

SELECT ISNULL(T.A, T.B, T.C) FROM T
--> syntax ISNULL

SELECT DATEADD(day, T.Date) FROM T
--> syntax DATEADD

SELECT DATEDIFF(day, T.Date) FROM T
--> syntax DATEDIFF

SELECT DATEPART(year, T.Date, 1) FROM T
--> syntax DATEPART

SELECT LEFT(T.Name) FROM T
--> syntax LEFT

SELECT SUBSTRING(T.Name, 1) FROM T
--> syntax SUBSTRING

SELECT REPLACE(T.Name, 'a') FROM T
--> syntax REPLACE

SELECT ROUND(T.A) FROM T
--> syntax ROUND

SELECT GETDATE(1) AS N
--> syntax GETDATE

SELECT COUNT() FROM T
--> syntax COUNT

SELECT SUM(T.A, T.B) FROM T
--> syntax SUM

SELECT NULLIF(T.A) FROM T
--> syntax NULLIF

SELECT COALESCE(T.A, T.B, T.C, 0), CONCAT(T.A, T.B, T.C), CHECKSUM(*) FROM T
--> clean

SELECT CHARINDEX('a', T.Name), CHARINDEX('a', T.Name, 2), STR(T.A), STR(T.A, 9, 2), EOMONTH(T.Date, 1) FROM T
--> clean

SELECT ROW_NUMBER() AS R FROM T
--> syntax ROW_NUMBER

SELECT RANK() OVER (ORDER BY T.A), LAG(T.A) OVER (ORDER BY T.B), NTILE(4) OVER (ORDER BY T.A) FROM T
--> clean

SELECT LEAD(T.A, 1) FROM T
--> syntax LEAD
