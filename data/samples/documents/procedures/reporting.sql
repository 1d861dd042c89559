CREATE PROCEDURE dbo.uspOpenInvoices @apco bCompany, @throughmth bMonth = NULL, @vendor int
AS
SELECT APTH.APRef, APTH.InvTotal
FROM APTH WITH (NOLOCK)
JOIN APVM WITH (NOLOCK) ON APTH.VendorGroup = APVM.VendorGroup AND APTH.Vendor = APVM.Vendor
WHERE APTH.APCo = @apco AND APTH.Vendor = @vendor
GO

CREATE OR ALTER PROC uspJobCostTotal (@jcco tinyint, @job varchar(10), @total numeric(12, 2) OUTPUT)
AS
SELECT @total = SUM(JCCP.ActualCost) FROM JCCP WITH (NOLOCK) WHERE JCCP.JCCo = @jcco AND JCCP.Job = @job
