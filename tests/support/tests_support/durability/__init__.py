"""Proofs that jobs survive: real processes are killed, frozen and cut off, and what is lost and doubled is counted.

``python -m tests_support.durability`` runs them (``make durability``). Each scenario starts servers and folders of its own,
never uses any that it finds, and returns figures, ``lost`` and ``doubled`` among them.
"""
