"""One module a numeric kernel: the formula, a plain reference and the public operation. Imports torch only."""
