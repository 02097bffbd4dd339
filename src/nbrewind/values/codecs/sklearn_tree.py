"""scikit-learn's decision trees, which forests and boosting are made of."""

from sklearn.tree._tree import Tree

from nbrewind.values.codecs.arrays import ByReduce


class DecisionTree(ByReduce):
    """The nodes of one tree."""

    name = "sklearn.Tree"
    types = (Tree,)
