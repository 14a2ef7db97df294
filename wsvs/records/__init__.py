"""What travels between stages, as typed records that are lines of JSON on disk."""
