/*!40101 SET NAMES utf8 */;
# it's a comment of MySQL
DROP TABLE IF EXISTS `order lines`;
CREATE TABLE `customers` (
  `id` int(11) unsigned NOT NULL AUTO_INCREMENT COMMENT 'number, it''s given once',
  `name` varchar(80) CHARACTER SET utf8 COLLATE utf8_bin NOT NULL DEFAULT 'O\'Neil, (x)' COMMENT 'full name',
  `kind` enum('person','firm, or club') DEFAULT 'person',
  `credit` decimal(12,2) NOT NULL DEFAULT '0.00',
  `changed` timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`id`),
  UNIQUE KEY `by_name` (`name`(20),`kind`),
  KEY `by_kind` (`kind`),
  FULLTEXT KEY `words` (`name`)
) ENGINE=InnoDB AUTO_INCREMENT=12 DEFAULT CHARSET=utf8 COMMENT='who buys';

CREATE TABLE IF NOT EXISTS `order lines` (
  `order` int NOT NULL,
  `line` smallint NOT NULL,
  `customer` int unsigned DEFAULT NULL,
  PRIMARY KEY (`order`,`line`) USING BTREE,
  CONSTRAINT `buyer` FOREIGN KEY (`customer`) REFERENCES `customers` (`id`) ON DELETE SET NULL ON UPDATE NO ACTION
) ENGINE=InnoDB;
ALTER TABLE `order lines` ADD COLUMN `note` text, MODIFY `line` int NOT NULL, ADD UNIQUE KEY `u` (`note`(10));
