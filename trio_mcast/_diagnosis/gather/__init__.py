"""The gatherers: one module for each kind of evidence."""
