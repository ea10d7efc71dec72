"""The shell on Linux."""
