-- Asked for by accounting every Monday. The comment is not copied.
SELECT APTH.VendorGroup, APTH.Vendor, APVM.Name, SUM(APTH.InvTotal) AS Total
FROM APTH WITH (NOLOCK)
JOIN APVM WITH (NOLOCK) ON APTH.VendorGroup = APVM.VendorGroup AND APTH.Vendor = APVM.Vendor
WHERE APTH.APCo = 1 AND APTH.OpenYN = 'Y'
GROUP BY APTH.VendorGroup, APTH.Vendor, APVM.Name
ORDER BY Total DESC;
