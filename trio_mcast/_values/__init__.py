"""Values: what goes in and out, without a system or a task. Pure."""
