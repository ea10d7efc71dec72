"""Channels: one port both ways, with answers."""
