if __name__ != "radii.service":  # a second copy would have registries and classes of its own
    raise ImportError("import radii.service: the folder service is a part of the package radii", name=__name__)
