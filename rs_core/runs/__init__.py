"""One runner for each kind of job: from a specification, a model and data to records, continued from the records that there are.

A worker's child process and the commands on local files use the same runners. They differ in where records go: rows or files.
"""
