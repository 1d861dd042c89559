-- =========
-- Words of a
-- dictionary
-- =========
create table if not exists word (
    key TEXT primary key,       -- how it is written
    body,                       -- what it means; it's free text, "quoted" or not
    rank INTEGER DEFAULT -1 CHECK (rank > -5),  -- -- place in the list
    "group" TEXT,
    CHECK (length(body) > 0)
) WITHOUT ROWID;

create temp table scratch (a);
CREATE TABLE use_of (
    word_key TEXT NOT NULL REFERENCES Word (KEY) ON UPDATE CASCADE,
    line INTEGER NOT NULL,
    UNIQUE (word_key, line) ON CONFLICT REPLACE
) STRICT;
CREATE TRIGGER t AFTER INSERT ON word BEGIN
    INSERT INTO use_of VALUES (NEW.key, CASE WHEN 1 THEN 1 ELSE 2 END);
    DELETE FROM use_of WHERE line = 2;
END;
CREATE TABLE last (a INTEGER);
CREATE VIEW both AS SELECT w.*, u.line FROM word w LEFT JOIN use_of u ON u.word_key = w.key;
