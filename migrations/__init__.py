if __name__ != "radii.migrations":  # a second copy would have registries and classes of its own
    raise ImportError("import radii.migrations: the folder migrations is a part of the package radii", name=__name__)
