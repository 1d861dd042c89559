-- A small chain of bike shops: sales, purchases, stock and the workshop.
-- Written for this project, in SQLite's dialect. The comment above a table and the one behind a column become their descriptions.

PRAGMA foreign_keys = ON;

-- shop of the chain, with its own numbers for sales, orders and repairs
CREATE TABLE Store (
    StoreNo     INTEGER NOT NULL PRIMARY KEY,  -- number of the store
    StoreName   VARCHAR(40) NOT NULL UNIQUE,   -- name on the sign
    Street      VARCHAR(60),                   -- street and house number
    City        VARCHAR(40) NOT NULL,          -- town of the store
    Phone       VARCHAR(20),                   -- telephone number
    OpenedOn    DATE NOT NULL                  -- first day of business
);

-- person who repairs bikes
CREATE TABLE Mechanic (
    MechanicNo  INTEGER NOT NULL PRIMARY KEY,          -- number of the mechanic
    StoreNo     INTEGER NOT NULL REFERENCES Store,     -- store the mechanic works in
    FullName    VARCHAR(60) NOT NULL,                  -- first and last name
    HourlyRate  DECIMAL(8, 2) NOT NULL,                -- price of one hour, before tax
    HiredOn     DATE NOT NULL,                         -- first day of work
    LeftOn      DATE                                   -- last day of work, empty while employed
);

-- person or firm that buys bikes, parts or repairs
CREATE TABLE Customer (
    CustomerNo  INTEGER NOT NULL PRIMARY KEY,  -- number of the customer
    FullName    VARCHAR(60) NOT NULL,          -- name of the person or firm
    Email       VARCHAR(80) UNIQUE,            -- address for invoices
    Phone       VARCHAR(20),                   -- telephone number
    City        VARCHAR(40),                   -- town of the customer
    Discount    DECIMAL(5, 2) NOT NULL DEFAULT 0,  -- rebate in percent
    JoinedOn    DATE NOT NULL                  -- day of the first contact
);

-- firm that delivers bikes and parts
CREATE TABLE Supplier (
    SupplierNo    INTEGER NOT NULL PRIMARY KEY,   -- number of the supplier
    SupplierName  VARCHAR(60) NOT NULL,           -- name of the firm
    Country       CHAR(2) NOT NULL,               -- country code of two letters
    PaymentDays   INTEGER NOT NULL DEFAULT 30,    -- days until an invoice is due
    Contact       VARCHAR(60)                     -- person to call
);

-- kind of part, such as tyres or brakes
CREATE TABLE PartGroup (
    GroupCode   VARCHAR(8) NOT NULL PRIMARY KEY,  -- short code of the group
    GroupName   VARCHAR(40) NOT NULL,             -- name of the group
    MarkupRate  DECIMAL(5, 2) NOT NULL            -- percent added to the purchase price
);

-- part or accessory that is bought, stocked and sold
CREATE TABLE Part (
    PartNo      VARCHAR(16) NOT NULL PRIMARY KEY,            -- number of the part
    PartName    VARCHAR(60) NOT NULL,                        -- name of the part
    GroupCode   VARCHAR(8) NOT NULL REFERENCES PartGroup,    -- group the part belongs to
    UnitPrice   DECIMAL(10, 2) NOT NULL,                     -- selling price of one piece
    WeightGrams INTEGER,                                     -- weight of one piece in grams
    Retired     SMALLINT NOT NULL DEFAULT 0                  -- 1 when the part is no longer sold
);

-- price and delivery time of a part at one supplier
CREATE TABLE SupplierPart (
    SupplierNo    INTEGER NOT NULL REFERENCES Supplier,   -- supplier that offers the part
    PartNo        VARCHAR(16) NOT NULL REFERENCES Part,   -- part on offer
    SupplierCode  VARCHAR(24),                            -- the supplier's own number of the part
    BuyPrice      DECIMAL(10, 2) NOT NULL,                -- purchase price of one piece
    LeadDays      INTEGER NOT NULL,                       -- days from order to delivery
    PRIMARY KEY (SupplierNo, PartNo)
);

-- quantity of a part that lies in a store
CREATE TABLE Stock (
    StoreNo     INTEGER NOT NULL REFERENCES Store,       -- store that holds the part
    PartNo      VARCHAR(16) NOT NULL REFERENCES Part,    -- part in stock
    OnHand      INTEGER NOT NULL,                        -- pieces in the store
    Reserved    INTEGER NOT NULL DEFAULT 0,              -- pieces promised to repairs
    ReorderAt   INTEGER,                                 -- pieces at which more are ordered
    CountedOn   DATE,                                    -- day of the last count
    PRIMARY KEY (StoreNo, PartNo)
);

-- model of a bike, as its maker sells it
CREATE TABLE BikeModel (
    ModelNo     INTEGER NOT NULL PRIMARY KEY,            -- number of the model
    SupplierNo  INTEGER NOT NULL REFERENCES Supplier,    -- supplier of the model
    ModelName   VARCHAR(60) NOT NULL,                    -- name of the model
    Kind        VARCHAR(12) NOT NULL,                    -- city, road, gravel, mountain or cargo
    ModelYear   INTEGER NOT NULL,                        -- year of the model
    ListPrice   DECIMAL(10, 2) NOT NULL,                 -- price without rebate
    Electric    SMALLINT NOT NULL DEFAULT 0              -- 1 when the bike has a motor
);

-- one bicycle, known by the number on its frame
CREATE TABLE Bike (
    FrameNo     VARCHAR(24) NOT NULL PRIMARY KEY,        -- number on the frame
    ModelNo     INTEGER NOT NULL REFERENCES BikeModel,   -- model of the bike
    StoreNo     INTEGER REFERENCES Store,                -- store where it stands, empty when sold
    CustomerNo  INTEGER REFERENCES Customer,             -- owner, empty while unsold
    FrameSize   INTEGER,                                 -- height of the frame in centimetres
    Colour      VARCHAR(24),                             -- colour of the frame
    ArrivedOn   DATE                                     -- day it came into the store
);

-- order of parts at a supplier
CREATE TABLE PurchaseOrder (
    StoreNo     INTEGER NOT NULL REFERENCES Store,       -- store that orders
    OrderNo     INTEGER NOT NULL,                        -- number of the order within the store
    SupplierNo  INTEGER NOT NULL REFERENCES Supplier,    -- supplier that is to deliver
    OrderedOn   DATE NOT NULL,                           -- day of the order
    ExpectedOn  DATE,                                    -- day of delivery promised by the supplier
    ClosedOn    DATE,                                    -- day of the last delivery, empty while open
    Freight     DECIMAL(10, 2) NOT NULL DEFAULT 0,       -- cost of transport
    PRIMARY KEY (StoreNo, OrderNo)
);

-- line of a purchase order: one part
CREATE TABLE PurchaseOrderLine (
    StoreNo       INTEGER NOT NULL,                      -- store that orders
    OrderNo       INTEGER NOT NULL,                      -- number of the order within the store
    OrderLine     INTEGER NOT NULL,                      -- number of the line within the order
    PartNo        VARCHAR(16) NOT NULL REFERENCES Part,  -- part ordered
    Quantity      INTEGER NOT NULL,                      -- pieces ordered
    Received      INTEGER NOT NULL DEFAULT 0,            -- pieces delivered so far
    BuyPrice      DECIMAL(10, 2) NOT NULL,               -- price of one piece
    PRIMARY KEY (StoreNo, OrderNo, OrderLine),
    FOREIGN KEY (StoreNo, OrderNo) REFERENCES PurchaseOrder (StoreNo, OrderNo) ON DELETE CASCADE
);

-- sale at the counter, one receipt
CREATE TABLE Sale (
    StoreNo     INTEGER NOT NULL REFERENCES Store,       -- store that sells
    SaleNo      INTEGER NOT NULL,                        -- number of the receipt within the store
    CustomerNo  INTEGER REFERENCES Customer,             -- buyer, empty for an unknown one
    SoldOn      DATE NOT NULL,                           -- day of the sale
    Rebate      DECIMAL(10, 2) NOT NULL DEFAULT 0,       -- amount taken off the total
    Tax         DECIMAL(10, 2) NOT NULL,                 -- value added tax in the total
    Total       DECIMAL(10, 2) NOT NULL,                 -- amount to pay, tax included
    PRIMARY KEY (StoreNo, SaleNo)
);

-- line of a sale: a bike or a number of parts
CREATE TABLE SaleLine (
    StoreNo     INTEGER NOT NULL,                        -- store that sells
    SaleNo      INTEGER NOT NULL,                        -- number of the receipt within the store
    SaleLine    INTEGER NOT NULL,                        -- number of the line within the receipt
    PartNo      VARCHAR(16) REFERENCES Part,             -- part sold, empty for a bike
    FrameNo     VARCHAR(24) REFERENCES Bike,             -- bike sold, empty for a part
    Quantity    INTEGER NOT NULL DEFAULT 1,              -- pieces sold
    UnitPrice   DECIMAL(10, 2) NOT NULL,                 -- price of one piece, tax included
    PRIMARY KEY (StoreNo, SaleNo, SaleLine),
    FOREIGN KEY (StoreNo, SaleNo) REFERENCES Sale (StoreNo, SaleNo) ON DELETE CASCADE
);

-- money received for a sale
CREATE TABLE Payment (
    StoreNo     INTEGER NOT NULL,                        -- store that sells
    SaleNo      INTEGER NOT NULL,                        -- number of the receipt within the store
    PaymentSeq  INTEGER NOT NULL,                        -- number of the payment within the sale
    PaidOn      DATE NOT NULL,                           -- day the money came in
    Method      VARCHAR(12) NOT NULL,                    -- cash, card, transfer or voucher
    Amount      DECIMAL(10, 2) NOT NULL,                 -- amount received
    PRIMARY KEY (StoreNo, SaleNo, PaymentSeq),
    FOREIGN KEY (StoreNo, SaleNo) REFERENCES Sale (StoreNo, SaleNo)
);

-- repair of one bike in the workshop
CREATE TABLE WorkOrder (
    StoreNo     INTEGER NOT NULL REFERENCES Store,       -- store that repairs
    JobNo       INTEGER NOT NULL,                        -- number of the repair within the store
    CustomerNo  INTEGER NOT NULL REFERENCES Customer,    -- customer who brought the bike
    FrameNo     VARCHAR(24) REFERENCES Bike,             -- bike to repair, empty for one bought elsewhere
    MechanicNo  INTEGER REFERENCES Mechanic,             -- mechanic in charge, empty until assigned
    Complaint   VARCHAR(200) NOT NULL,                   -- what the customer says is wrong
    BroughtOn   DATE NOT NULL,                           -- day the bike was brought
    PromisedOn  DATE,                                    -- day it is to be ready
    FinishedOn  DATE,                                    -- day it was ready, empty while open
    PRIMARY KEY (StoreNo, JobNo)
);

-- part used in a repair
CREATE TABLE WorkOrderPart (
    StoreNo     INTEGER NOT NULL,                        -- store that repairs
    JobNo       INTEGER NOT NULL,                        -- number of the repair within the store
    PartNo      VARCHAR(16) NOT NULL REFERENCES Part,    -- part used
    Quantity    INTEGER NOT NULL,                        -- pieces used
    UnitPrice   DECIMAL(10, 2) NOT NULL,                 -- price of one piece charged
    PRIMARY KEY (StoreNo, JobNo, PartNo),
    FOREIGN KEY (StoreNo, JobNo) REFERENCES WorkOrder (StoreNo, JobNo)
);

-- time that a mechanic spent on a repair
CREATE TABLE WorkOrderTime (
    StoreNo     INTEGER NOT NULL,                        -- store that repairs
    JobNo       INTEGER NOT NULL,                        -- number of the repair within the store
    TimeSeq     INTEGER NOT NULL,                        -- number of the entry within the repair
    MechanicNo  INTEGER NOT NULL REFERENCES Mechanic,    -- mechanic who worked
    WorkedOn    DATE NOT NULL,                           -- day of the work
    Hours       DECIMAL(5, 2) NOT NULL,                  -- hours spent
    Rate        DECIMAL(8, 2) NOT NULL,                  -- price of one hour charged
    PRIMARY KEY (StoreNo, JobNo, TimeSeq),
    FOREIGN KEY (StoreNo, JobNo) REFERENCES WorkOrder (StoreNo, JobNo)
);

CREATE INDEX SaleByDay ON Sale (SoldOn);

-- takings of each store and day
CREATE VIEW DailyTakings AS
SELECT s.StoreNo, t.StoreName, s.SoldOn, COUNT(*) AS Receipts, SUM(s.Total) AS Takings
FROM Sale AS s
JOIN Store AS t ON t.StoreNo = s.StoreNo
GROUP BY s.StoreNo, t.StoreName, s.SoldOn;

-- parts to order again: fewer free pieces than the reorder mark
CREATE VIEW PartsToOrder AS
SELECT k.StoreNo, k.PartNo, p.PartName, k.OnHand - k.Reserved AS FreePieces, k.ReorderAt
FROM Stock AS k
JOIN Part AS p ON p.PartNo = k.PartNo
WHERE k.OnHand - k.Reserved < k.ReorderAt AND p.Retired = 0;

CREATE TRIGGER SoldBike AFTER INSERT ON SaleLine WHEN NEW.FrameNo IS NOT NULL
BEGIN
    UPDATE Bike SET StoreNo = NULL WHERE FrameNo = NEW.FrameNo;
END;
