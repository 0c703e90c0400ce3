"""Pictures of what a classifier does, in scikit-learn's manner, with matplotlib."""

from skhimatch.displays.by_frequency import FrequencyF1Display
from skhimatch.displays.confusions import SiblingConfusionDisplay
from skhimatch.displays.history import FitHistoryDisplay
from skhimatch.displays.reliability import ReliabilityDisplay
from skhimatch.displays.thresholds import ThresholdDisplay
from skhimatch.displays.tree import HierarchyF1Display
from skhimatch.evaluation.displays import LevelF1Display
from skhimatch.evaluation.joint_embedding import JointEmbeddingDisplay

__all__ = [
    "FitHistoryDisplay",
    "FrequencyF1Display",
    "HierarchyF1Display",
    "JointEmbeddingDisplay",
    "LevelF1Display",
    "ReliabilityDisplay",
    "SiblingConfusionDisplay",
    "ThresholdDisplay",
]
