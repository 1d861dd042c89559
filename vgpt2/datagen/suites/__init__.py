"""The suites that judge a model: drawn from a catalogue, or written by hand."""
