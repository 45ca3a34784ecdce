"""Tests of what is left when the command is ended, or nothing can be written."""
