if __name__ != "radii.rs_core":  # a second copy would have registries and classes of its own
    raise ImportError("import radii.rs_core: the folder rs_core is a part of the package radii", name=__name__)
