"""wsvs: semantic segmentation from image tags, with web videos as the teacher."""

__version__ = "0.1.0"
