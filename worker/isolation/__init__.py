"""Restrictions for processes that open files from outside: what such a process gives up before it reads the first byte.

``confine`` applies all of them to the present process. ``landlock`` limits files, TCP and signals, ``seccomp`` the system
calls, ``identity`` the user and the network, ``limits`` memory, time and sizes. ``availability`` tells which of them this
system lacks.
"""
