"""Receivers: memberships, reading, counting, and the queue to the program."""
