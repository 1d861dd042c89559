"""Names: which are real, which a set may use, invented ones, what a text says about them, and what in it can be mended."""
