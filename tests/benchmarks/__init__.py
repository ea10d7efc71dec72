"""Benchmarks: what receiving and sending costs, beside other ways of doing it. See ``__main__``."""
