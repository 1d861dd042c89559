"""The gate before training: rows read as facts, the rules on them, and what is told of the outcome."""
