"""One module a numeric kernel: its formula, a plain reference, the operation that chooses; its Triton form stands beside it."""
