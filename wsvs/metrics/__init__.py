"""Scores of masks: one confusion matrix over a data set, video IoU by frame, shot and class. Needs no torch."""

from wsvs.metrics.evaluate import ImageResults, VideoResults, evaluate_images, evaluate_video
from wsvs.metrics.segmentation import ConfusionMatrix
from wsvs.metrics.thresholds import ThresholdScan, scan_thresholds
from wsvs.metrics.video import PrecisionRecall, VideoScores, boundary_f, jaccard, precision_recall
from wsvs.metrics.write import write_image_results, write_video_results

__all__ = [
    "ConfusionMatrix",
    "ImageResults",
    "PrecisionRecall",
    "ThresholdScan",
    "VideoResults",
    "VideoScores",
    "boundary_f",
    "evaluate_images",
    "evaluate_video",
    "jaccard",
    "precision_recall",
    "scan_thresholds",
    "write_image_results",
    "write_video_results",
]
