"""scikit-learn's trees of neighbours."""

from sklearn.neighbors import BallTree, KDTree

from nbrewind.values.codecs.arrays import ByReduce


class NeighbourTree(ByReduce):
    """A tree over points; it counts its calls, so a query changes it."""

    name = "sklearn.BinaryTree"
    types = (*KDTree.__mro__[:-1], *BallTree.__mro__[:-1])
