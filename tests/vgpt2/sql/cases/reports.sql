-- Reports that people ask for, written by the rules of the house: every finding here would be a mistake.
--! catalogue: vista-core
--! rules: house

-- AR ageing
SELECT ARCM.Customer, ARCM.Name,
       SUM(CASE WHEN DATEDIFF(day, ARTH.DueDate, @AsOf) <= 30 THEN ARTH.AmountDue ELSE 0 END) AS Current30,
       SUM(CASE WHEN DATEDIFF(day, ARTH.DueDate, @AsOf) BETWEEN 31 AND 60 THEN ARTH.AmountDue ELSE 0 END) AS Days60,
       SUM(ARTH.AmountDue) AS Total
FROM ARTH WITH (NOLOCK)
INNER JOIN ARCM WITH (NOLOCK) ON ARCM.CustGroup = ARTH.CustGroup AND ARCM.Customer = ARTH.Customer
WHERE ARTH.ARCo = @ARCo AND ARTH.ARTransType = 'I' AND ARTH.AmountDue <> 0
GROUP BY ARCM.Customer, ARCM.Name
HAVING SUM(ARTH.AmountDue) <> 0
ORDER BY Total DESC
--> clean

-- driven by customer master
SELECT ARCM.Name, ARTH.Invoice
FROM ARCM WITH (NOLOCK)
INNER JOIN ARTH WITH (NOLOCK) ON ARTH.CustGroup = ARCM.CustGroup AND ARTH.Customer = ARCM.Customer
WHERE ARCM.CustGroup = @CustGroup AND ARTH.ARCo = @ARCo
--> clean

-- subcontract cost
SELECT SLHD.SL, SLHD.Description, SUM(SLIT.OrigCost) AS Orig, SUM(SLIT.CurCost) AS Cur, SUM(SLIT.InvCost) AS Inv
FROM SLHD WITH (NOLOCK)
INNER JOIN SLIT WITH (NOLOCK) ON SLIT.SLCo = SLHD.SLCo AND SLIT.SL = SLHD.SL
LEFT JOIN APVM WITH (NOLOCK) ON APVM.VendorGroup = SLHD.VendorGroup AND APVM.Vendor = SLHD.Vendor
WHERE SLHD.SLCo = @SLCo AND SLHD.JCCo = @JCCo AND SLHD.Job = @Job
GROUP BY SLHD.SL, SLHD.Description
--> clean

-- invoice -> payment -> cleared
SELECT APTH.APRef, APTH.InvTotal, APPD.CMRef, CMDT.ClearDate
FROM APTH WITH (NOLOCK)
INNER JOIN APPD WITH (NOLOCK) ON APPD.APCo = APTH.APCo AND APPD.Mth = APTH.Mth AND APPD.APTrans = APTH.APTrans
INNER JOIN APPH WITH (NOLOCK) ON APPH.APCo = APPD.APCo AND APPH.CMCo = APPD.CMCo AND APPH.CMAcct = APPD.CMAcct AND APPH.PayMethod = APPD.PayMethod AND APPH.CMRef = APPD.CMRef AND APPH.CMRefSeq = APPD.CMRefSeq AND APPH.EFTSeq = APPD.EFTSeq
LEFT JOIN CMDT WITH (NOLOCK) ON CMDT.CMCo = APPH.CMCo AND CMDT.CMAcct = APPH.CMAcct AND CMDT.CMRef = APPH.CMRef AND CMDT.CMRefSeq = APPH.CMRefSeq
WHERE APTH.APCo = @APCo AND APTH.Mth = '2024-01-01'
--> clean

-- pending vs approved change orders
SELECT PMOI.PCO, PMOI.ACO, SUM(PMOI.PendingAmount) AS Pending, SUM(PMOI.ApprovedAmt) AS Approved
FROM PMOI WITH (NOLOCK)
LEFT JOIN PMOP WITH (NOLOCK) ON PMOP.PMCo = PMOI.PMCo AND PMOP.Project = PMOI.Project AND PMOP.PCOType = PMOI.PCOType AND PMOP.PCO = PMOI.PCO
LEFT JOIN PMOH WITH (NOLOCK) ON PMOH.PMCo = PMOI.PMCo AND PMOH.Project = PMOI.Project AND PMOH.ACO = PMOI.ACO
WHERE PMOI.PMCo = @PMCo AND PMOI.Project = @Project
GROUP BY PMOI.PCO, PMOI.ACO
--> clean

-- PO received not invoiced
SELECT POIT.PO, POIT.POItem, POIT.RecvdUnits, POIT.InvUnits
FROM POIT WITH (NOLOCK)
INNER JOIN POHD WITH (NOLOCK) ON POHD.POCo = POIT.POCo AND POHD.PO = POIT.PO
WHERE POIT.POCo = @POCo AND POIT.RecvdUnits > POIT.InvUnits AND POHD.Status = 0
--> clean

-- duplicates
SELECT a.APTrans, b.APTrans AS Other, a.APRef
FROM APTH a WITH (NOLOCK)
INNER JOIN APTH b WITH (NOLOCK) ON b.APCo = a.APCo AND b.VendorGroup = a.VendorGroup AND b.Vendor = a.Vendor AND b.APRef = a.APRef AND b.APTrans > a.APTrans
WHERE a.APCo = @APCo
--> clean

-- duplicates by groups
SELECT APTH.VendorGroup, APTH.Vendor, APTH.APRef, COUNT(*) AS Times
FROM APTH WITH (NOLOCK)
WHERE APTH.APCo = @APCo
GROUP BY APTH.VendorGroup, APTH.Vendor, APTH.APRef
HAVING COUNT(*) > 1
--> clean

-- trial balance
WITH Opening AS (
    SELECT GLBL.GLCo, GLBL.GLAcct, SUM(GLBL.NetActivity) AS OpeningBal
    FROM GLBL WITH (NOLOCK)
    WHERE GLBL.GLCo = @GLCo AND GLBL.Mth < @Mth
    GROUP BY GLBL.GLCo, GLBL.GLAcct
), Activity AS (
    SELECT GLDT.GLCo, GLDT.GLAcct, SUM(GLDT.Amount) AS Amt
    FROM GLDT WITH (NOLOCK)
    WHERE GLDT.GLCo = @GLCo AND GLDT.Mth = @Mth
    GROUP BY GLDT.GLCo, GLDT.GLAcct
)
SELECT GLAC.GLAcct, GLAC.Description, ISNULL(Opening.OpeningBal, 0) AS OpeningBal, ISNULL(Activity.Amt, 0) AS Amt
FROM GLAC WITH (NOLOCK)
LEFT JOIN Opening ON Opening.GLCo = GLAC.GLCo AND Opening.GLAcct = GLAC.GLAcct
LEFT JOIN Activity ON Activity.GLCo = GLAC.GLCo AND Activity.GLAcct = GLAC.GLAcct
WHERE GLAC.GLCo = @GLCo AND GLAC.AcctType <> 'H'
ORDER BY GLAC.GLAcct
--> clean

-- job cost by phase
SELECT JCJP.Phase, JCJP.Description, JCCT.Abbreviation, SUM(JCCD.ActualCost) AS Actual
FROM JCCD WITH (NOLOCK)
INNER JOIN JCJP WITH (NOLOCK) ON JCJP.JCCo = JCCD.JCCo AND JCJP.Job = JCCD.Job AND JCJP.PhaseGroup = JCCD.PhaseGroup AND JCJP.Phase = JCCD.Phase
INNER JOIN JCCT WITH (NOLOCK) ON JCCT.PhaseGroup = JCCD.PhaseGroup AND JCCT.CostType = JCCD.CostType
WHERE JCCD.JCCo = @JCCo AND JCCD.Job = @Job AND JCCD.Mth BETWEEN @From AND @To
GROUP BY JCJP.Phase, JCJP.Description, JCCT.Abbreviation
--> clean

-- estimate vs actual
SELECT JCCH.Phase, JCCH.CostType, JCCH.OrigCost, SUM(JCCP.ActualCost) AS Actual
FROM JCCH WITH (NOLOCK)
LEFT JOIN JCCP WITH (NOLOCK) ON JCCP.JCCo = JCCH.JCCo AND JCCP.Job = JCCH.Job AND JCCP.PhaseGroup = JCCH.PhaseGroup AND JCCP.Phase = JCCH.Phase AND JCCP.CostType = JCCH.CostType
WHERE JCCH.JCCo = @JCCo AND JCCH.Job = @Job
GROUP BY JCCH.Phase, JCCH.CostType, JCCH.OrigCost
--> clean

-- contract billing
SELECT JCCM.Contract, JCCM.Description, ARCM.Name, SUM(JCCI.ContractAmt) AS Amt
FROM JCCM WITH (NOLOCK)
INNER JOIN JCCI WITH (NOLOCK) ON JCCI.JCCo = JCCM.JCCo AND JCCI.Contract = JCCM.Contract
LEFT JOIN ARCM WITH (NOLOCK) ON ARCM.CustGroup = JCCM.CustGroup AND ARCM.Customer = JCCM.Customer
LEFT JOIN JCDM WITH (NOLOCK) ON JCDM.JCCo = JCCM.JCCo AND JCDM.Department = JCCM.Department
WHERE JCCM.JCCo = @JCCo
GROUP BY JCCM.Contract, JCCM.Description, ARCM.Name
--> clean

-- vendor invoices on hold
SELECT APTH.APRef, APVM.Name, APTD.Amount, HQHC.Description
FROM APHD WITH (NOLOCK)
INNER JOIN APTD WITH (NOLOCK) ON APTD.APCo = APHD.APCo AND APTD.Mth = APHD.Mth AND APTD.APTrans = APHD.APTrans AND APTD.APLine = APHD.APLine AND APTD.APSeq = APHD.APSeq
INNER JOIN APTH WITH (NOLOCK) ON APTH.APCo = APTD.APCo AND APTH.Mth = APTD.Mth AND APTH.APTrans = APTD.APTrans
INNER JOIN APVM WITH (NOLOCK) ON APVM.VendorGroup = APTH.VendorGroup AND APVM.Vendor = APTH.Vendor
INNER JOIN HQHC WITH (NOLOCK) ON HQHC.HoldCode = APHD.HoldCode
WHERE APHD.APCo = @APCo
--> clean

-- employees without timecards
SELECT PREH.Employee, PREH.LastName
FROM PREH WITH (NOLOCK)
WHERE PREH.PRCo = @PRCo AND PREH.ActiveYN = 'Y'
  AND NOT EXISTS (SELECT 1 FROM PRTH WITH (NOLOCK) WHERE PRTH.PRCo = PREH.PRCo AND PRTH.Employee = PREH.Employee AND PRTH.PREndDate >= @From)
--> clean

-- latest payment
SELECT APVM.Vendor, APVM.Name, p.PaidDate
FROM APVM WITH (NOLOCK)
OUTER APPLY (SELECT TOP 1 APPH.PaidDate FROM APPH WITH (NOLOCK) WHERE APPH.APCo = @APCo AND APPH.VendorGroup = APVM.VendorGroup AND APPH.Vendor = APVM.Vendor ORDER BY APPH.PaidDate DESC) p
WHERE APVM.VendorGroup = (SELECT HQCO.VendorGroup FROM HQCO WITH (NOLOCK) WHERE HQCO.HQCo = @APCo)
--> clean

-- vendor group from the company
SELECT APVM.Vendor, APVM.Name FROM APVM WITH (NOLOCK) INNER JOIN HQCO WITH (NOLOCK) ON HQCO.VendorGroup = APVM.VendorGroup WHERE HQCO.HQCo = @APCo
--> clean

-- running totals
SELECT CMDT.CMTrans, CMDT.ActDate, CMDT.Amount, SUM(CMDT.Amount) OVER (ORDER BY CMDT.ActDate, CMDT.CMTrans ROWS UNBOUNDED PRECEDING) AS Balance
FROM CMDT WITH (NOLOCK)
INNER JOIN CMAC WITH (NOLOCK) ON CMAC.CMCo = CMDT.CMCo AND CMAC.CMAcct = CMDT.CMAcct
WHERE CMDT.CMCo = @CMCo AND CMDT.CMAcct = @CMAcct
--> clean

-- equipment revenue
SELECT EMEM.Equipment, EMEM.Description, EMCM.Description AS Category, SUM(EMRD.Dollars) AS Revenue
FROM EMRD WITH (NOLOCK)
INNER JOIN EMEM WITH (NOLOCK) ON EMEM.EMCo = EMRD.EMCo AND EMEM.Equipment = EMRD.Equipment
LEFT JOIN EMCM WITH (NOLOCK) ON EMCM.EMCo = EMEM.EMCo AND EMCM.Category = EMEM.Category
LEFT JOIN EMRC WITH (NOLOCK) ON EMRC.EMGroup = EMRD.EMGroup AND EMRC.RevCode = EMRD.RevCode
WHERE EMRD.EMCo = @EMCo
GROUP BY EMEM.Equipment, EMEM.Description, EMCM.Description
--> clean

-- SM
SELECT SMWorkOrder.WorkOrder, SMCustomer.Customer, SMServiceSite.Description
FROM SMWorkOrder WITH (NOLOCK)
INNER JOIN SMCustomer WITH (NOLOCK) ON SMCustomer.SMCo = SMWorkOrder.SMCo AND SMCustomer.CustGroup = SMWorkOrder.CustGroup AND SMCustomer.Customer = SMWorkOrder.Customer
INNER JOIN SMServiceSite WITH (NOLOCK) ON SMServiceSite.SMCo = SMWorkOrder.SMCo AND SMServiceSite.ServiceSite = SMWorkOrder.ServiceSite
INNER JOIN SMWorkOrderScope WITH (NOLOCK) ON SMWorkOrderScope.SMCo = SMWorkOrder.SMCo AND SMWorkOrderScope.WorkOrder = SMWorkOrder.WorkOrder
LEFT JOIN SMWorkCompleted WITH (NOLOCK) ON SMWorkCompleted.SMCo = SMWorkOrderScope.SMCo AND SMWorkCompleted.WorkOrder = SMWorkOrderScope.WorkOrder AND SMWorkCompleted.Scope = SMWorkOrderScope.Scope
WHERE SMWorkOrder.SMCo = @SMCo
--> clean

-- batches
SELECT HQBC.Co, HQBC.Mth, HQBC.BatchId, APHB.APRef FROM HQBC WITH (NOLOCK) INNER JOIN APHB WITH (NOLOCK) ON APHB.Co = HQBC.Co AND APHB.Mth = HQBC.Mth AND APHB.BatchId = HQBC.BatchId INNER JOIN APLB WITH (NOLOCK) ON APLB.Co = APHB.Co AND APLB.Mth = APHB.Mth AND APLB.BatchId = APHB.BatchId AND APLB.BatchSeq = APHB.BatchSeq WHERE HQBC.Co = @Co
--> clean

-- payroll
SELECT PRDT.EDLCode, PRDL.Description, SUM(PRDT.Amount) AS Amt
FROM PRDT WITH (NOLOCK)
INNER JOIN PRSQ WITH (NOLOCK) ON PRSQ.PRCo = PRDT.PRCo AND PRSQ.PRGroup = PRDT.PRGroup AND PRSQ.PREndDate = PRDT.PREndDate AND PRSQ.Employee = PRDT.Employee AND PRSQ.PaySeq = PRDT.PaySeq
LEFT JOIN PRDL WITH (NOLOCK) ON PRDL.PRCo = PRDT.PRCo AND PRDL.DLCode = PRDT.EDLCode
WHERE PRDT.PRCo = @PRCo AND PRDT.EDLType IN ('D', 'L')
GROUP BY PRDT.EDLCode, PRDL.Description
--> clean

-- timecards with craft
SELECT PRTH.Employee, PRTH.Hours, PRCM.Description, PRCC.Description AS ClassName
FROM PRTH WITH (NOLOCK)
LEFT JOIN PRCM WITH (NOLOCK) ON PRCM.PRCo = PRTH.PRCo AND PRCM.Craft = PRTH.Craft
LEFT JOIN PRCC WITH (NOLOCK) ON PRCC.PRCo = PRTH.PRCo AND PRCC.Craft = PRTH.Craft AND PRCC.Class = PRTH.Class
LEFT JOIN PRDP WITH (NOLOCK) ON PRDP.PRCo = PRTH.PRCo AND PRDP.PRDept = PRTH.PRDept
WHERE PRTH.PRCo = @PRCo AND PRTH.JCCo = @JCCo AND PRTH.Job = @Job
--> clean

-- open jobs with cost this month
SELECT JCJM.Job, JCJM.Description, d.Cost
FROM JCJM WITH (NOLOCK)
INNER JOIN (SELECT JCCD.JCCo, JCCD.Job, SUM(JCCD.ActualCost) AS Cost FROM JCCD WITH (NOLOCK) WHERE JCCD.Mth = @Mth GROUP BY JCCD.JCCo, JCCD.Job) d ON d.JCCo = JCJM.JCCo AND d.Job = JCJM.Job
WHERE JCJM.JCCo = @JCCo AND JCJM.JobStatus = 1
--> clean

-- union of AP and GL
SELECT 'AP' AS Source, APTL.GLAcct, APTL.GrossAmt AS Amt FROM APTL WITH (NOLOCK) WHERE APTL.APCo = @Co
UNION ALL
SELECT 'GL', GLDT.GLAcct, GLDT.Amount FROM GLDT WITH (NOLOCK) WHERE GLDT.GLCo = @Co
ORDER BY GLAcct
--> clean

-- inventory
SELECT INMT.Material, HQMT.Description, INMT.OnHand, INLM.Description AS Location
FROM INMT WITH (NOLOCK)
INNER JOIN HQMT WITH (NOLOCK) ON HQMT.MatlGroup = INMT.MatlGroup AND HQMT.Material = INMT.Material
INNER JOIN INLM WITH (NOLOCK) ON INLM.INCo = INMT.INCo AND INLM.Loc = INMT.Loc
WHERE INMT.INCo = @INCo
--> clean

-- latest per group
SELECT x.Job, x.Phase, x.Mth FROM (
  SELECT JCCP.Job, JCCP.Phase, JCCP.Mth, ROW_NUMBER() OVER (PARTITION BY JCCP.Job, JCCP.Phase ORDER BY JCCP.Mth DESC) AS Nr
  FROM JCCP WITH (NOLOCK) WHERE JCCP.JCCo = @JCCo) x
WHERE x.Nr = 1
--> clean

-- variables and temp
DECLARE @APCo tinyint = 1, @Mth smalldatetime = '2024-01-01';
SELECT APTH.APCo, APTH.Mth, APTH.APTrans, APTH.InvTotal INTO #inv FROM APTH WITH (NOLOCK) WHERE APTH.APCo = @APCo AND APTH.Mth = @Mth;
SELECT i.APTrans, i.InvTotal, SUM(APTL.GrossAmt) AS Lines FROM #inv i INNER JOIN APTL WITH (NOLOCK) ON APTL.APCo = i.APCo AND APTL.Mth = i.Mth AND APTL.APTrans = i.APTrans GROUP BY i.APTrans, i.InvTotal;
DROP TABLE #inv;
--> clean
