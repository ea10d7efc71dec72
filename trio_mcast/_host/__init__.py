"""The imperative shell: everything that touches the operating system goes through a `Host`."""
