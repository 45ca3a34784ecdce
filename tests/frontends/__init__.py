"""Tests of the front ends: files and frozen graphs in, frozen graphs out."""
