"""Tests of what one node is made of."""
