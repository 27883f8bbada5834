"""Reads run folders and draws the review page."""
