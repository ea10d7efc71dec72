"""Captures of network traffic: reading and writing files, and the datagrams in their frames."""
