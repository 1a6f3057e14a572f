"""What item operations promise, on every database."""
