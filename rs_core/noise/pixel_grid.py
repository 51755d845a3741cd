"""The grid of images of 8 bits: whole steps of 1/255."""

GRID = 255
"""Steps from black to white."""
OFF_GRID = 1e-3
"""How far, in steps, a pixel may lie from the grid, where images are stored as fractions."""
