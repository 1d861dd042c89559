CREATE TYPE [dbo].[bCompany] FROM [tinyint] NOT NULL
GO
EXEC sp_addtype N'bDesc', N'varchar (30)', N'null'
GO
SET ANSI_NULLS ON
GO
/****** Object: Table ******/
CREATE TABLE [dbo].[bAPTH](
	[APCo] [dbo].[bCompany] NOT NULL,
	[Mth] smalldatetime NOT NULL,
	[APTrans] int NOT NULL,
	[Vendor] [int] NULL CONSTRAINT [FK_v] REFERENCES [dbo].[bAPVM] ([Vendor]) ON DELETE SET NULL,
	[Desc] [dbo].[bDesc],
	[Amt] [numeric](12, 2) NOT NULL CONSTRAINT [DF_x] DEFAULT ((0)),
	[Tot] AS ([Amt]*(2)) PERSISTED,
	[Notes] varchar(max) NULL,
	[KeyID] [bigint] IDENTITY(1,1) NOT NULL,
 CONSTRAINT [PK] PRIMARY KEY CLUSTERED 
(
	[APCo] ASC, [Mth] ASC, [APTrans] ASC
)WITH (PAD_INDEX = OFF) ON [PRIMARY]
) ON [PRIMARY] TEXTIMAGE_ON [PRIMARY]
GO
CREATE UNIQUE NONCLUSTERED INDEX [bi] ON [dbo].[bAPTH] ([KeyID] ASC) WITH (FILLFACTOR=90) ON [PRIMARY]
GO
CREATE TABLE dbo.bAPVM (Vendor int NOT NULL, Name varchar(60) NULL)
ALTER TABLE [dbo].[bAPVM] WITH NOCHECK ADD CONSTRAINT pk_v PRIMARY KEY NONCLUSTERED (Vendor), DEFAULT ('x') FOR Name
ALTER TABLE dbo.bAPVM ADD Extra int NULL
GO
CREATE VIEW APVM AS SELECT a.* FROM bAPVM a
GO
CREATE VIEW APTH AS SELECT * From bAPTH WHERE APCo > 0
GO
CREATE VIEW vrvX (A, B, C, D) AS SELECT h.APCo, v.Name, SUM(h.Amt), CAST(NULL AS varchar(7)) FROM APTH h LEFT JOIN APVM v ON v.Vendor = h.Vendor GROUP BY h.APCo, v.Name
GO
CREATE TRIGGER x ON bAPTH FOR INSERT AS CREATE TABLE nonsense (a int)
GO
EXEC sys.sp_addextendedproperty @name=N'MS_Description', @value=N'It''s a header' , @level0type=N'SCHEMA',@level0name=N'dbo', @level1type=N'TABLE',@level1name=N'bAPTH', @level2type=N'COLUMN',@level2name=N'Amt'
GO
EXEC dbo.sp_executesql @statement = N'CREATE VIEW late AS SELECT ''x'' AS q, Vendor FROM bAPVM'
GO
CREATE VIEW bad AS SELECT FROM x
GO
CREATE VIEW un AS SELECT * FROM nowhere
