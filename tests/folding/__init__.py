"""Tests of journeys and of the planner."""
