"""The shell on macOS and FreeBSD."""
