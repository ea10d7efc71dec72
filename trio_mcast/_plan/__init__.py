"""The planner: from what is wanted, the interfaces and a platform to sockets. Pure."""
