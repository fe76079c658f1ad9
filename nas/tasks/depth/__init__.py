"""Depth from one image: metres for every pixel.

NYU Depth V2 in three forms, folders of RGB and 16-bit depth, and rooms that are rendered here.
"""

from nas.tasks.depth.named import depth_folder, nyu_depth, rooms

__all__ = ["depth_folder", "nyu_depth", "rooms"]
