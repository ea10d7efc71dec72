"""The public specs: every check that needs no operating system; nothing below knows of them.

Everything that can be known to be wrong without asking the operating system is an error here,
before anything is opened.
"""
