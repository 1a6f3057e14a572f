"""What starts flows by itself."""
