"""Training sets: recipes, their production in chunks, rows of files, and mixes of several."""
