"""The operation types, one by one."""
