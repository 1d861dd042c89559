-- Left from the days before the rules: a company column that is not there. It is counted, and never becomes an answer.
SELECT APTH.APRef, APTH.InvTotal
FROM APTH WITH (NOLOCK)
WHERE APTH.Co = 1
