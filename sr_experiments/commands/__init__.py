"""The commands: each parses its command line, calls, and prints."""
