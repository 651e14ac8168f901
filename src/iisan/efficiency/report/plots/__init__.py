"""Plots of a comparison, one kind a file."""
