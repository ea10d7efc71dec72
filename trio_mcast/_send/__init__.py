"""Senders: their sockets, destinations and replies."""
