"""Reads run folders and writes the review page."""
