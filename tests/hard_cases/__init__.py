"""Tests of hard cases by their number; tests/test_hard_cases_index.py lists them all."""
