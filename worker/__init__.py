if __name__ != "radii.worker":  # a second copy would have registries and classes of its own
    raise ImportError("import radii.worker: the folder worker is a part of the package radii", name=__name__)
