"""A class for every pixel: folders of images and label maps, and rooms that are rendered here."""

from nas.tasks.segmentation.named import rooms_segmentation, segmentation_folder

__all__ = ["rooms_segmentation", "segmentation_folder"]
