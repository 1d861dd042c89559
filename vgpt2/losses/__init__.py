"""Training objectives as functions of log-probabilities: one short pure function a file, PyTorch only.

`logps` always means sums over a sequence's scored tokens; a loss that the paper defines on means takes the sums together with
`lengths`, the number of scored tokens, and divides where the equation does. Every function returns one loss a unit (a token, a pair,
an example), never an average: the caller divides by the number of units of the whole optimizer step.
"""
