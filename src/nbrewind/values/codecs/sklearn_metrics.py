"""scikit-learn's distances, which trees of neighbours hold."""

from sklearn.metrics._dist_metrics import DistanceMetric32, DistanceMetric64

from nbrewind.values.codecs.arrays import ByReduce


class Distance(ByReduce):
    """A distance with its parameters."""

    name = "sklearn.DistanceMetric"
    types = (DistanceMetric32, DistanceMetric64)
