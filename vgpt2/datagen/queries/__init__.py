"""SQL questions from meaning to row: a logical plan is drawn, said in words, answered, set beside a schema and gone on from."""
